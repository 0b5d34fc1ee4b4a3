# Makes specifications_data.csv (simulated, fixed seed) and specifications_reference.csv: what lme4 says of models after
# Sagesaka 2018, Tabak 2009 and Hulman 2017. The likelihood of each knot is that of a model fitted anew.
# Run in this directory: Rscript specifications_reference.R   (Debian: r-cran-lme4)
suppressMessages(library(lme4))
RNGkind("Mersenne-Twister", "Inversion", "Rejection")
set.seed(41)

people <- 220
rows <- lapply(seq_len(people), function(i) {
  case <- i <= 90
  visits <- 5 + i %% 6
  t <- round(sort(c(0, -runif(visits, 0, 10))), 2)
  level <- rnorm(1); slope <- rnorm(1)
  age <- runif(1, 40, 65) + t
  male <- rbinom(1, 1, 0.5)
  noise <- function(sd) rnorm(length(t), 0, sd)
  glucose <- 88 + 0.08 * (age - 50) + 2 * male + case * (4 + 0.3 * t + 1.1 * pmax(t + 4, 0)^2) + 4 * level +
    0.3 * slope * t + noise(4)
  log_homa <- 0.3 + 0.004 * (age - 50) + case * (0.3 + 0.01 * t + 0.09 * pmax(t + 4, 0)) + 0.4 * level +
    0.02 * slope * t + noise(0.2)
  homa_b <- 90 - 0.2 * (age - 50) + case * (5 + 0.5 * t + 14 * pmax(t + 6, 0) - 24 * pmax(t + 3, 0)) + 15 * level +
    0.8 * slope * t + noise(12)
  data.frame(participant_id = sprintf("p%03d", i), years_to_event = t, progressor = tolower(as.character(case)),
             age = round(age, 3), sex = ifelse(male == 1, "male", "female"), glucose_mg_dl = round(glucose, 3),
             homa_ir = round(exp(log_homa), 5), homa_b_pct = round(homa_b, 3))
})
data <- do.call(rbind, rows)
write.csv(data, "specifications_data.csv", row.names = FALSE, quote = FALSE)

data <- read.csv("specifications_data.csv")
data$t <- data$years_to_event
data$case <- as.numeric(data$progressor == "true")
data$male <- as.numeric(data$sex == "male")
data$lag <- floor(data$t + 0.5)
data$log_homa_ir <- log(data$homa_ir)
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9, maxfun = 1e5), calc.derivs = FALSE)

# The standard person: the mean over cases of each case's mean, of age that at time zero.
of_cases <- data[data$case == 1, ]
once <- function(x) mean(tapply(x, of_cases$participant_id, mean))
age_at_event <- once(of_cases$age - of_cases$t)
share_male <- once(of_cases$male)

person <- function(t, case, knots = numeric(0), power = 1) {
  new <- data.frame(t = t, case = case, age = age_at_event + t, male = share_male, lag = floor(t + 0.5))
  for (k in seq_along(knots)) new[[paste0("bend_", k)]] <- case * pmax(t - knots[k], 0)^power
  new
}
label <- function(specification, outcome, quantity, years_to_event, value, error = NA)
  data.frame(specification, outcome, version = as.character(packageVersion("lme4")), quantity, years_to_event,
             value = sprintf("%.12g", value), error = sprintf("%.12g", error))

# Fitted mean and standard error of rows of a design, from vcov.
means <- function(fit, new) {
  X <- model.matrix(delete.response(terms(fit, fixed.only = TRUE)), new, xlev = list("factor(lag)" = -10:0))
  list(X = X, value = drop(X %*% fixef(fit)), V = as.matrix(vcov(fit)))
}
curves <- function(fit, specification, outcome, times, ...) {
  cases <- means(fit, person(times, 1, ...)); others <- means(fit, person(times, 0, ...))
  se <- function(X) sqrt(rowSums((X %*% cases$V) * X))
  D <- cases$X - others$X
  rbind(label(specification, outcome, "cases", times, cases$value, se(cases$X)),
        label(specification, outcome, "comparison", times, others$value, se(others$X)),
        label(specification, outcome, "difference", times, drop(D %*% fixef(fit)), se(D)),
        label(specification, outcome, "log_likelihood_reml", NA, as.numeric(logLik(fit))))
}

out <- NULL
for (outcome in c("glucose_mg_dl", "log_homa_ir", "homa_b_pct")) {
  data$y <- data[[outcome]]
  sagesaka <- lmer(y ~ factor(lag) * case + age + male + (1 | participant_id), data, control = tight)
  hulman <- lmer(y ~ (t + I(t^2) + I(t^3)) * case + age + male + (1 + t | participant_id), data, control = tight)
  out <- rbind(out, curves(sagesaka, "sagesaka", outcome, -10:0), curves(hulman, "hulman", outcome, -9:0))
  ml <- refitML(hulman)
  out <- rbind(out, label("hulman", outcome, "aic", NA, AIC(ml)))
}

# Tabak: each knot of the grid, or pair of knots a year apart, in a model of its own, by maximum likelihood.
bent <- function(knots, power, REML) {
  for (k in seq_along(knots)) data[[paste0("bend_", k)]] <- data$case * pmax(data$t - knots[k], 0)^power
  bends <- paste0("bend_", seq_along(knots), collapse = " + ")
  lmer(as.formula(paste("y ~ t * case +", bends, "+ age + male + (1 + t | participant_id)")), data, REML = REML,
       control = tight)
}
tabak <- function(outcome, power, candidates) {
  data$y <<- data[[outcome]]
  found <- sapply(candidates, function(knots) as.numeric(logLik(bent(knots, power, FALSE))))
  best <- candidates[[which.max(found)]]
  fit <- bent(best, power, TRUE)
  profiles <- lapply(seq_along(best), function(k) {
    years <- sapply(candidates, function(knots) knots[k])
    top <- tapply(found, years, max)
    label("tabak", outcome, paste0("profile_", k), as.numeric(names(top)), top)
  })
  rbind(do.call(rbind, profiles), label("tabak", outcome, paste0("knot_", seq_along(best)), NA, best),
        label("tabak", outcome, "log_likelihood", NA, max(found)),
        curves(fit, "tabak", outcome, -9:0, knots = best, power = power))
}
grid <- seq(-9, -1, by = 0.5)
pairs <- combn(grid, 2, simplify = FALSE)
pairs <- pairs[sapply(pairs, diff) >= 1]
out <- rbind(out, tabak("glucose_mg_dl", 2, as.list(grid)), tabak("log_homa_ir", 1, as.list(grid)),
             tabak("homa_b_pct", 1, pairs))
write.csv(out, "specifications_reference.csv", row.names = FALSE, quote = FALSE)
