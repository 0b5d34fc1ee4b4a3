# Makes joint_data.csv (simulated, fixed seed) and joint_reference.csv (what nlme says of it).
# Run in this directory: Rscript joint_reference.R   (Debian: r-cran-nlme)
suppressMessages(library(nlme))
RNGkind("Mersenne-Twister", "Inversion", "Rejection")
set.seed(11)

# K outcomes with correlated levels and slopes, correlated residuals, and a share of missing readings.
people <- function(name, K, n, visits, missing) {
  root <- 0.4 * matrix(rnorm(4 * K * K), 2 * K) + diag(2 * K)
  spread <- rep(c(0.8, 0.15), K)
  within <- 0.4 * matrix(rnorm(K * K), K) + diag(K)
  rows <- lapply(seq_len(n), function(i) {
    u <- spread * as.vector(root %*% rnorm(2 * K))
    years <- sort(round(runif(visits, 0, 8), 2))
    age <- round(runif(1, 30, 70), 1)
    noise <- 0.4 * matrix(rnorm(visits * K), visits) %*% t(within)
    y <- sapply(seq_len(K), function(k)
      1 + k + 0.1 * years + 0.02 * k * (age - 50) + u[2 * k - 1] + u[2 * k] * years + noise[, k])
    y <- round(y, 4)
    y[runif(length(y)) < missing] <- NA
    out <- data.frame(dataset = name, participant_id = sprintf("p%03d", i), draw = seq_len(visits), years, age,
                      y1 = y[, 1], y2 = y[, 2], y3 = NA)
    if (K == 3) out$y3 <- y[, 3]
    out
  })
  do.call(rbind, rows)
}

data <- rbind(people("two_complete", 2, 60, 5, 0), people("two_missing", 2, 80, 5, 0.25),
              people("three_missing", 3, 80, 6, 0.2))
write.csv(data, "joint_data.csv", row.names = FALSE, quote = FALSE, na = "")

by_nlme <- function(dataset, reml) {
  here <- data[data$dataset == dataset, ]
  outcomes <- if (dataset == "three_missing") c("y1", "y2", "y3") else c("y1", "y2")
  long <- do.call(rbind, lapply(seq_along(outcomes), function(k)
    data.frame(here[, c("participant_id", "draw", "years", "age")], position = k, outcome = outcomes[k],
               value = here[[outcomes[k]]])))
  long <- long[!is.na(long$value), ]
  long$outcome <- factor(long$outcome)
  long <- long[order(long$participant_id, long$draw, long$position), ]
  # position, not ~ 1: in a draw without y1 the first reading is y2.
  fit <- lme(value ~ 0 + outcome + outcome:years + outcome:age, data = long,
             random = ~ 0 + outcome + outcome:years | participant_id,
             correlation = corSymm(form = ~ position | participant_id/draw),
             weights = varIdent(form = ~ 1 | outcome), method = if (reml) "REML" else "ML",
             control = lmeControl(maxIter = 500, msMaxIter = 2000, msMaxEval = 10000, tolerance = 1e-12, msTol = 1e-14,
                                  niterEM = 100))
  label <- function(quantity, term, x)
    data.frame(dataset, reml, version = as.character(packageVersion("nlme")), quantity, term,
               value = sprintf("%.12g", x))
  sds <- fit$sigma * c(1, coef(fit$modelStruct$varStruct, unconstrained = FALSE))
  names(sds)[1] <- setdiff(outcomes, names(sds))
  correlation <- coef(fit$modelStruct$corStruct, unconstrained = FALSE)
  pairs <- combn(outcomes, 2)
  G <- unclass(getVarCov(fit))
  rbind(
    label("log_likelihood", "", as.numeric(logLik(fit))),
    label("estimate", names(fixef(fit)), fixef(fit)),
    label("standard_error", names(fixef(fit)), sqrt(diag(vcov(fit)))),
    label("residual_sd", names(sds), sds),
    label("residual_correlation", paste(pairs[1, ], pairs[2, ]), correlation),
    label("covariance", as.vector(outer(rownames(G), colnames(G), paste)), as.vector(G))
  )
}

out <- NULL
for (dataset in unique(data$dataset)) for (reml in c(TRUE, FALSE)) out <- rbind(out, by_nlme(dataset, reml))
write.csv(out, "joint_reference.csv", row.names = FALSE, quote = FALSE)
