# Makes responding_data.csv (simulated, fixed seed) and responding_reference.csv: what lme4 says of the slopes before, early
# and late after an intervention, of the spread of responses, and of the difference to a comparison group.
# Run in this directory: Rscript responding_reference.R   (Debian: r-cran-lme4)
suppressMessages(library(lme4))
RNGkind("Mersenne-Twister", "Inversion", "Rejection")
set.seed(61)

rows <- lapply(seq_len(150), function(i) {
  treated <- i <= 80
  since <- round(c(-sort(runif(4, 0.05, 4), decreasing = TRUE), sort(c(runif(1, 0.05, 0.5), runif(4, 0.6, 4)))), 3)
  u <- rnorm(3) * c(0.4, 0.08, 0.2)
  fall <- pmin(pmax(since / 0.5, 0), 1)
  mean <- 0.8 + 0.03 * pmin(since, 0) + if (treated) -0.25 * fall + 0.06 * pmax(since - 0.5, 0) else 0.03 * pmax(since, 0)
  y <- mean + u[1] + u[2] * since + (if (treated) u[3] else 0) * fall + rnorm(length(since), 0, 0.15)
  data.frame(participant_id = sprintf("p%03d", i), since = since, intervened = tolower(as.character(treated)),
             homa_ir = round(exp(y), 5))
})
data <- do.call(rbind, rows)
write.csv(data, "responding_data.csv", row.names = FALSE, quote = FALSE)

data <- read.csv("responding_data.csv")
data$y <- log(data$homa_ir)
data$case <- as.numeric(data$intervened == "true")
data$before <- pmin(data$since, 0)
data$response <- pmin(pmax(data$since / 0.5, 0), 1)
data$later <- pmax(data$since - 0.5, 0)
last <- ave(ifelse(data$since <= 0, data$since, -Inf), data$participant_id, FUN = max)
data$own <- as.numeric(data$since == last)
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5), calc.derivs = FALSE)
say <- function(quantity, value, error = NA) {
  data.frame(quantity = quantity, value = signif(value, 12), standard_error = signif(error, 10))
}
combine <- function(model, name, ...) {
  weights <- c(...)
  row <- setNames(rep(0, length(fixef(model))), names(fixef(model)))
  row[names(weights)] <- weights
  say(name, sum(row * fixef(model)), sqrt(drop(row %*% as.matrix(vcov(model)) %*% row)))
}

treated <- data[data$case == 1, ]
of_phases <- function(model, tag, suffix = "") {
  n <- function(...) setNames(c(...), paste0(names(c(...)), suffix))
  rbind(
    combine(model, paste0(tag, "slope_before"), n(before = 1)),
    combine(model, paste0(tag, "slope_early"), n(response = 2)),
    combine(model, paste0(tag, "slope_late"), n(later = 1)),
    combine(model, paste0(tag, "early_against_before"), n(response = 2, before = -1)),
    combine(model, paste0(tag, "late_against_early"), n(response = -2, later = 1)),
    combine(model, paste0(tag, "change_2"), n(response = 1, later = 1.5)),
    combine(model, paste0(tag, "beyond_2"), n(response = 1, later = 1.5, before = -2)))
}
with_own <- lmer(y ~ before + response + later + own + (1 + since + response | participant_id), treated, control = tight)
without <- lmer(y ~ before + response + later + (1 + since + response | participant_id), treated, control = tight)

for (name in c("before", "response", "later", "own")) data[[paste0(name, "_case")]] <- data[[name]] * data$case
both <- lmer(y ~ before + response + later + own + case + before_case + response_case + later_case + own_case +
  (1 + since + response | participant_id), data, control = tight)

# The spread: readings with a term of their own left out.
others <- treated[treated$own == 0, ]
larger <- lmer(y ~ before + response + later + (1 + since + response | participant_id), others, control = tight)
smaller <- lmer(y ~ before + response + later + (1 + since | participant_id), others, control = tight)
statistic <- 2 * as.numeric(logLik(larger) - logLik(smaller))
p_value <- mean(pchisq(statistic, c(2, 3), lower.tail = FALSE))

out <- rbind(of_phases(with_own, "own_term:"), of_phases(without, "as_others:"), of_phases(both, "beyond:", "_case"),
  say("spread:sd", attr(VarCorr(larger)$participant_id, "stddev")[["response"]]),
  say("spread:p_value", p_value))
write.csv(out, "responding_reference.csv", row.names = FALSE, quote = FALSE, na = "")
