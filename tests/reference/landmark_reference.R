# Makes landmark_data.csv (simulated, fixed seed) and landmark_reference.csv: what survival says of events that lie
# between two visits, Turnbull's curve by survfit and Weibull proportional hazards by survreg.
# Run in this directory: Rscript landmark_reference.R   (Debian: r-cran-survival)
# survfit is asked about the data sets whose intervals lie on a common grid of visits only: it stops early where they
# overlap, and on some data it does not stop.
suppressMessages(library(survival))
RNGkind("Mersenne-Twister", "Inversion", "Rejection")
set.seed(23)

# Visits every `step` years, each off by up to `jitter`; a share of them is missed.
people <- function(name, n, step, jitter, missed, hazard, shape, effects) {
  rows <- lapply(seq_len(n), function(i) {
    score <- round(runif(1, 0, 10), 2)
    flag <- as.integer(score > 8)
    glucose <- round(rnorm(1, 92, 5), 1)
    rate <- hazard * exp(effects[1] * score + effects[2] * flag + effects[3] * (glucose - 92))
    event <- (-log(runif(1)) / rate)^(1 / shape)
    visits <- round(step * (1:8) + runif(8, -jitter, jitter), 2)
    visits <- visits[c(TRUE, runif(7) >= missed)]
    before <- c(0, visits[visits < event])
    after <- visits[visits >= event]
    low <- max(before)
    if (low == 0 && length(after) == 0) return(NULL)
    data.frame(dataset = name, low, high = if (length(after)) min(after) else NA, score, flag, glucose)
  })
  do.call(rbind, rows)
}

data <- rbind(people("grid", 250, 1, 0, 0, 0.03, 1.4, c(0.1, 0.3, 0.05)),
              people("grid_missed", 250, 1, 0, 0.3, 0.06, 0.8, c(0.05, 0, 0.1)),
              people("ragged", 300, 1, 0.3, 0.2, 0.04, 1.2, c(0.12, -0.4, 0.08)),
              people("no_effect", 200, 2, 0.5, 0.1, 0.05, 1, c(0, 0, 0)))
write.csv(data, "landmark_data.csv", row.names = FALSE, quote = FALSE, na = "")

models <- c("1", "score", "flag", "glucose", "score + glucose", "score + flag + glucose")
interval <- function(here) Surv(ifelse(here$low == 0, NA, here$low), here$high, type = "interval2")

# survreg has log T = m + x b + s e, so that the log hazard ratio is -b / s and the shape 1 / s.
by_survreg <- function(dataset, model) {
  here <- data[data$dataset == dataset, ]
  fit <- survreg(as.formula(paste("interval(here) ~", model)), here, dist = "weibull",
                 control = survreg.control(rel.tolerance = 1e-12, maxiter = 100))
  terms <- names(coef(fit))[-1]
  # The standard error of -b / s from that of b and log s.
  errors <- sapply(terms, function(term) {
    gradient <- c(-1 / fit$scale, coef(fit)[[term]] / fit$scale)
    V <- vcov(fit)[c(term, "Log(scale)"), c(term, "Log(scale)")]
    sqrt(drop(gradient %*% V %*% gradient))
  })
  label <- function(quantity, term, x)
    data.frame(dataset, model, version = as.character(packageVersion("survival")), quantity, term,
               value = sprintf("%.12g", as.numeric(x)))
  rbind(label("log_likelihood", "", fit$loglik[2]), label("shape", "", 1 / fit$scale),
        label("intercept", "", -coef(fit)[[1]] / fit$scale),
        if (length(terms)) label("log_hazard_ratio", terms, -coef(fit)[-1] / fit$scale),
        if (length(terms)) label("standard_error", terms, errors))
}

# Behind each whole year: survfit puts the drops in the middle of the intervals.
by_survfit <- function(dataset) {
  fit <- survfit(interval(data[data$dataset == dataset, ]) ~ 1)
  years <- 1:7
  data.frame(dataset, model = "turnbull", version = as.character(packageVersion("survival")), quantity = "event_free",
             term = years, value = sprintf("%.12g", summary(fit, times = years, extend = TRUE)$surv))
}

out <- NULL
for (dataset in unique(data$dataset)) for (model in models) out <- rbind(out, by_survreg(dataset, model))
for (dataset in c("grid", "grid_missed")) out <- rbind(out, by_survfit(dataset))
write.csv(out, "landmark_reference.csv", row.names = FALSE, quote = FALSE)
