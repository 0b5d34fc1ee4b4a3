# Makes profile_reference.csv from lmm_data.csv: lme4's profile-likelihood intervals, likelihood-ratio statistics,
# AIC and BIC, and the R2 and ICC of Nakagawa, Schielzeth and Johnson written out over the rows.
# Run in this directory: Rscript profile_reference.R   (Debian: r-cran-lme4)
# With names of data sets behind it, for these alone, which takes less than a minute.
suppressMessages(library(lme4))
data <- read.csv("lmm_data.csv")

models <- list(
  intercept = "y ~ years + age + (1 | participant_id)",
  slope = "y ~ years + (1 + years | participant_id)",
  covariates = "y ~ years * progressor + age + (1 + years | participant_id)",
  diagonal = "y ~ years + (1 + years || participant_id)"
)
# A search that ends where the likelihood does, so that the reference is good to its printed digits.
control <- lmerControl(check.conv.singular = "ignore", check.conv.grad = "ignore", check.conv.hess = "ignore",
                       optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e6))
fitted_to <- function(dataset, model, reml)
  lmer(as.formula(models[[model]]), data[data$dataset == dataset, ], REML = reml, control = control)

value <- function(dataset, model, reml, quantity, term, value)
  data.frame(dataset, formula = models[[model]], engine = "lme4", version = as.character(packageVersion("lme4")),
             reml, quantity, term, value = sprintf("%.12g", value))

intervals <- function(dataset, model) {
  fit <- fitted_to(dataset, model, FALSE)
  # Points closer together than the default of 1/8 of the cut-off make lme4's interpolation exact enough to test by.
  found <- suppressWarnings(confint(profile(fit, signames = FALSE, delta.cutoff = 1/20, maxpts = 400), level = 0.95))
  rbind(value(dataset, model, FALSE, "low", rownames(found), found[, 1]),
        value(dataset, model, FALSE, "high", rownames(found), found[, 2]))
}

explained <- function(dataset, model, reml) {
  fit <- fitted_to(dataset, model, reml)
  Z <- getME(fit, "mmList")
  G <- VarCorr(fit)
  by_row <- Reduce(`+`, Map(function(z, g) rowSums((z %*% as.matrix(g)) * z), Z, as.list(G)))
  fixed <- var(as.numeric(model.matrix(fit) %*% fixef(fit)))
  random <- mean(by_row)
  residual <- sigma(fit)^2
  total <- fixed + random + residual
  label <- function(quantity, x) value(dataset, model, reml, quantity, "", x)
  rbind(label("AIC", AIC(fit)), label("BIC", BIC(fit)), label("parameters", attr(logLik(fit), "df")),
        label("marginal", fixed / total), label("conditional", (fixed + random) / total),
        label("icc", random / (random + residual)), label("icc_first_row", by_row[1] / (by_row[1] + residual)))
}

ratio <- function(dataset, smaller, larger, reml) {
  statistic <- 2 * (as.numeric(logLik(fitted_to(dataset, larger, reml))) -
                    as.numeric(logLik(fitted_to(dataset, smaller, reml))))
  value(dataset, larger, reml, "likelihood_ratio", models[[smaller]], statistic)
}

chosen <- commandArgs(trailingOnly = TRUE)
if (length(chosen) == 0) chosen <- c("balanced", "unbalanced", "flat_slopes", "nobody_differs")
out <- NULL
for (dataset in chosen) {
  for (model in names(models)) {
    singular_twice <- dataset == "nobody_differs" && model != "intercept"
    if (!singular_twice) out <- rbind(out, intervals(dataset, model))
    for (reml in c(TRUE, FALSE)) out <- rbind(out, explained(dataset, model, reml))
  }
  out <- rbind(out, ratio(dataset, "slope", "covariates", FALSE))
  for (reml in c(TRUE, FALSE)) out <- rbind(out, ratio(dataset, "diagonal", "slope", reml))
}
write.csv(out, "profile_reference.csv", row.names = FALSE, quote = FALSE)
