# Makes lmm_data.csv (simulated, fixed seed) and lmm_reference.csv (what lme4 and nlme say of it).
# Run in this directory: Rscript lme4_reference.R   (Debian: r-cran-lme4, r-cran-nlme)
suppressMessages({library(lme4); library(nlme)})
RNGkind("Mersenne-Twister", "Inversion", "Rejection")
set.seed(7)

people <- function(name, visits, sd_level, sd_slope, correlation, sd_residual) {
  rows <- lapply(seq_along(visits), function(i) {
    z <- rnorm(2)
    level <- sd_level * z[1]
    slope <- sd_slope * (correlation * z[1] + sqrt(1 - correlation^2) * z[2])
    years <- if (name == "balanced") 0:(visits[i] - 1) else sort(round(runif(visits[i], 0, 8), 2))
    age <- round(runif(1, 30, 70), 1)
    group <- i %% 3 == 0
    y <- 2 + 0.1 * years + 0.01 * (age - 50) + 0.15 * group + level + slope * years +
      rnorm(visits[i], 0, sd_residual)
    data.frame(dataset = name, participant_id = sprintf("%s%02d", substr(name, 1, 1), i), years = years,
               age = age, progressor = as.integer(group), y = round(y, 4))
  })
  do.call(rbind, rows)
}

data <- rbind(
  people("balanced", rep(8, 20), 0.5, 0.08, 0.3, 0.25),
  people("unbalanced", 2 + (1:36) %% 6, 0.5, 0.10, -0.2, 0.25),
  people("flat_slopes", rep(5, 20), 0.5, 0, 0, 0.4),
  people("nobody_differs", rep(5, 20), 0, 0, 0, 0.4)
)
write.csv(data, "lmm_data.csv", row.names = FALSE, quote = FALSE)

models <- list(
  slope = list(text = "y ~ years + (1 + years | participant_id)", fixed = y ~ years,
               random = ~ 1 + years | participant_id),
  covariates = list(text = "y ~ years * progressor + age + (1 + years | participant_id)",
                    fixed = y ~ years * progressor + age, random = ~ 1 + years | participant_id),
  intercept = list(text = "y ~ years + age + (1 | participant_id)", fixed = y ~ years + age,
                   random = ~ 1 | participant_id),
  diagonal = list(text = "y ~ years + (1 + years || participant_id)", fixed = NULL, random = NULL)
)

value <- function(dataset, model, engine, version, reml, quantity, term, value)
  data.frame(dataset, formula = models[[model]]$text, engine, version, reml, quantity, term,
             value = sprintf("%.12g", value))

by_lme4 <- function(dataset, model, reml) {
  control <- lmerControl(check.conv.singular = "ignore", check.conv.grad = "ignore", check.conv.hess = "ignore",
                         optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e6))
  fit <- lmer(as.formula(models[[model]]$text), data[data$dataset == dataset, ], REML = reml, control = control)
  label <- function(quantity, term, x)
    value(dataset, model, "lme4", as.character(packageVersion("lme4")), reml, quantity, term, x)
  table <- coef(summary(fit))
  covariance <- as.data.frame(VarCorr(fit))
  level <- ranef(fit)$participant_id[1:3, 1]
  rbind(
    label("log_likelihood", "", as.numeric(logLik(fit))),
    label("estimate", rownames(table), table[, "Estimate"]),
    label("standard_error", rownames(table), table[, "Std. Error"]),
    label("covariance", paste(covariance$var1, covariance$var2, covariance$grp), covariance$vcov),
    label("mode_of_level", rownames(ranef(fit)$participant_id)[1:3], level),
    label("singular", "", as.integer(isSingular(fit)))
  )
}

by_nlme <- function(dataset, model, reml) {
  here <- data[data$dataset == dataset, ]
  fit <- do.call(lme, list(fixed = models[[model]]$fixed, random = models[[model]]$random, data = here,
                           method = if (reml) "REML" else "ML",
                           control = lmeControl(msTol = 1e-10, tolerance = 1e-10, maxIter = 200, msMaxIter = 500)))
  label <- function(quantity, term, x)
    value(dataset, model, "nlme", as.character(packageVersion("nlme")), reml, quantity, term, x)
  rbind(label("log_likelihood", "", as.numeric(logLik(fit))), label("estimate", names(fixef(fit)), fixef(fit)))
}

out <- NULL
for (dataset in unique(data$dataset)) for (model in names(models)) for (reml in c(TRUE, FALSE)) {
  out <- rbind(out, by_lme4(dataset, model, reml))
  # nlme has no notion of the boundary; it is asked where there is none.
  if (dataset %in% c("balanced", "unbalanced") && model != "diagonal") out <- rbind(out, by_nlme(dataset, model, reml))
}
write.csv(out, "lmm_reference.csv", row.names = FALSE, quote = FALSE)
