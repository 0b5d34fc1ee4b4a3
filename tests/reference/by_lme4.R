# What lme4 says of a model; for textbook_reference.R and random_designs.R.
suppressMessages(library(lme4))

# The natural spline of formulaic has its knots at quantiles of the distinct values, ns those of all values.
cr <- function(x, df) splines::ns(x, knots = quantile(unique(x), seq_len(df - 1) / df))
bs <- splines::bs

# What is tested is the optimum, not what lme4 says of the data on the way there.
quiet <- function(...) lmerControl(
  check.conv.singular = "ignore", check.conv.grad = "ignore", check.conv.hess = "ignore", check.scaleX = "ignore",
  check.nobs.vs.nRE = "ignore", check.nobs.vs.rankZ = "ignore", check.rankX = "ignore", ...)

digits <- function(x) signif(as.numeric(x), 12)

# The best of three searches, gone over once more from where it ended: a single one may stop short.
by_lme4 <- function(row, directory) {
  # Incomplete rows go first: R would let them take part in the basis of poly, and drop them then.
  here <- na.omit(read.csv(file.path(directory, paste0(row$dataset, ".csv")), stringsAsFactors = TRUE))
  search <- function(control, start = NULL)
    lmer(as.formula(row$formula), here, REML = row$reml == 1, control = control, start = start)
  tight <- quiet(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-11, maxfun = 2e4))
  plain <- search(quiet())
  found <- list(plain, search(tight), search(quiet(optimizer = "Nelder_Mead", optCtrl = list(maxfun = 2e4))))
  best <- found[[which.max(sapply(found, logLik))]]
  again <- search(tight, getME(best, "theta"))
  if (logLik(again) >= logLik(best)) best <- again
  table <- coef(summary(best))
  covariance <- as.data.frame(VarCorr(best))
  key <- row[c("dataset", "model", "reml")]
  long <- function(quantity, term, value, standard_error)
    data.frame(key, quantity, term, value = digits(value), standard_error = digits(standard_error), row.names = NULL)
  list(
    fit = data.frame(key, formula = row$formula, visits = nobs(best), log_likelihood = digits(logLik(best)),
                     by_default = digits(logLik(plain)), singular = as.integer(isSingular(best)),
                     version = as.character(packageVersion("lme4")), row.names = NULL),
    estimates = rbind(
      long("fixed", rownames(table), table[, "Estimate"], table[, "Std. Error"]),
      long("covariance", paste(covariance$grp, covariance$var1, covariance$var2), covariance$vcov, NA)
    )
  )
}

# One row of `asked` per fit: dataset (its table is directory/dataset.csv), model, reml, formula.
write_answers <- function(asked, directory, fits, estimates) {
  said <- lapply(seq_len(nrow(asked)), function(i) by_lme4(asked[i, ], directory))
  write.csv(do.call(rbind, lapply(said, `[[`, "fit")), fits, row.names = FALSE)
  write.csv(do.call(rbind, lapply(said, `[[`, "estimates")), estimates, row.names = FALSE, na = "")
}
