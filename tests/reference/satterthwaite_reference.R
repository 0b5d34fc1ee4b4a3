# Makes satterthwaite_reference.csv: lmerTest's degrees of freedom, by its algorithm on lme4's deviance (lmerTest 3.1:
# Hessian of the deviance in theta and sigma, Jacobian of the covariance of the fixed effects, Fai and Cornelius' F).
# Run in this directory: Rscript satterthwaite_reference.R   (Debian: r-cran-lme4, r-cran-numderiv)
suppressMessages({library(lme4); library(numDeriv)})
data <- read.csv("lmm_data.csv")

models <- c(
  "y ~ years + (1 + years | participant_id)",
  "y ~ years * progressor + age + (1 + years | participant_id)",
  "y ~ years + age + (1 | participant_id)",
  "y ~ years + (1 + years || participant_id)"
)

# sigma enters by its square only, and the covariance of the fixed effects is proportional to it.
deviance_of <- function(parameters, devfun, reml, n, p) {
  k <- length(parameters)
  variance <- parameters[k]^2
  devfun(parameters[-k])
  here <- environment(devfun)
  squares <- here$resp$wrss() + here$pp$sqrL(1)
  if (!reml) return(here$pp$ldL2() + squares / variance + n * log(2 * pi * variance))
  here$pp$ldL2() + here$pp$ldRX2() + squares / variance + (n - p) * log(2 * pi * variance)
}

covariance_of <- function(parameters, devfun) {
  k <- length(parameters)
  devfun(parameters[-k])
  parameters[k]^2 * tcrossprod(environment(devfun)$pp$RXi())
}

pseudo_inverse <- function(H) {
  e <- eigen(H, symmetric = TRUE)
  keep <- e$values > 1e-8
  e$vectors[, keep, drop = FALSE] %*% diag(1 / e$values[keep], sum(keep)) %*% t(e$vectors[, keep, drop = FALSE])
}

freedom <- function(contrast, V, jacobian, A) {
  gradient <- sapply(jacobian, function(J) sum(contrast * (J %*% contrast)))
  2 * sum(contrast * (V %*% contrast))^2 / sum(gradient * (A %*% gradient))
}

joint <- function(C, b, V, jacobian, A) {
  e <- eigen(C %*% V %*% t(C), symmetric = TRUE)
  rows <- t(e$vectors) %*% C
  q <- nrow(C)
  df <- apply(rows, 1, freedom, V, jacobian, A)
  E <- sum((df / (df - 2))[df > 2])
  c(F = sum((rows %*% b)^2 / e$values) / q, df2 = 2 * E / (E - q))
}

control <- lmerControl(check.conv.singular = "ignore", check.conv.grad = "ignore", check.conv.hess = "ignore",
                       optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e6))
out <- NULL
for (dataset in unique(data$dataset)) for (model in models) for (reml in c(TRUE, FALSE)) {
  here <- data[data$dataset == dataset, ]
  fit <- lmer(as.formula(model), here, REML = reml, control = control)
  devfun <- lmer(as.formula(model), here, REML = reml, control = control, devFunOnly = TRUE)
  p <- length(fixef(fit))
  theta <- getME(fit, "theta")
  devfun(theta)
  at <- c(theta, sigma(fit))
  # numDeriv steps to both sides of zero, where theta means the same variance on both.
  H <- hessian(deviance_of, at, devfun = devfun, reml = reml, n = nrow(here), p = p)
  J <- jacobian(covariance_of, at, devfun = devfun)
  J <- lapply(seq_along(at), function(k) matrix(J[, k], p, p))
  A <- 2 * pseudo_inverse(H)
  V <- covariance_of(at, devfun)
  df <- apply(diag(p), 1, freedom, V, J, A)
  test <- joint(diag(p)[-1, , drop = FALSE], fixef(fit), V, J, A)
  line <- function(quantity, term, x) data.frame(dataset, formula = model, lme4 = as.character(packageVersion("lme4")),
    reml, singular = isSingular(fit), quantity, term, value = sprintf("%.10g", x))
  out <- rbind(out, line("df", names(fixef(fit)), df), line(names(test), "", test))
}
write.csv(out, "satterthwaite_reference.csv", row.names = FALSE, quote = FALSE)
