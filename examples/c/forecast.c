/* Forecasts a series and prints, for each step, the mean and five quantiles.
 *
 *   forecast [FORECASTER [SERIES.csv]]
 *
 * Build lines are in ffi/README.md. Nothing after the set-up below allocates. */
#include <stdio.h>
#include <stdlib.h>

#include "nowcast.h"

static const double PROBABILITIES[] = { 0.05, 0.25, 0.5, 0.75, 0.95 };
enum { QUANTILES = sizeof PROBABILITIES / sizeof PROBABILITIES[0] };

/* Days from 1970-01-01 to a date of the Gregorian calendar. Years are counted from March, so that
 * a leap day is the last of its year. */
static int64_t days_since_1970(int64_t year, int64_t month, int64_t day)
{
    year -= month < 3;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return 365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719468;
}

/* Reads lines of "2013-01-01T06:00:00Z,39.02" and keeps the last `len` values, oldest first.
 * Returns the time of the last, in seconds since 1970, or -1 if there are fewer. */
static int64_t read_series(FILE *file, float *values, uint64_t len)
{
    char line[256];
    uint64_t seen = 0;
    int64_t last = -1;
    while (fgets(line, sizeof line, file) != NULL) {
        int year, month, day, hour, minute, second;
        float value;
        if (sscanf(line, "%d-%d-%dT%d:%d:%dZ,%f", &year, &month, &day, &hour, &minute, &second,
                   &value) != 7) {
            continue; /* the header */
        }
        values[seen++ % len] = value;
        last = days_since_1970(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    }
    if (seen < len) {
        return -1;
    }
    /* A ring until now: the oldest lies where the next would go. */
    float *straight = malloc((size_t)len * sizeof *straight);
    if (straight == NULL) {
        return -1;
    }
    for (uint64_t i = 0; i < len; i++) {
        straight[i] = values[(seen + i) % len];
    }
    for (uint64_t i = 0; i < len; i++) {
        values[i] = straight[i];
    }
    free(straight);
    return last;
}

/* Ends the program if a call failed. */
static void check(nowcast_status status, const nowcast_error *error)
{
    if (status != NOWCAST_OK) {
        fprintf(stderr, "forecast: %s (%s)\n", error->message, nowcast_status_name(status));
        exit(EXIT_FAILURE);
    }
}

/* Ends the program if there is no memory. */
static void *need(void *memory)
{
    if (memory == NULL) {
        fprintf(stderr, "forecast: out of memory\n");
        exit(EXIT_FAILURE);
    }
    return memory;
}

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : "models/jfk-temperature";
    const char *series = argc > 2 ? argv[2] : "models/jfk-temperature/series.csv";
    nowcast_error error = NOWCAST_ERROR_INIT;
    if (nowcast_abi_version() != NOWCAST_ABI_VERSION) {
        fprintf(stderr, "forecast: nowcast.h is of another version than the library\n");
        return EXIT_FAILURE;
    }

    /* Set-up: load once, then take all the memory that will ever be needed. */
    nowcast_forecaster *forecaster = NULL;
    check(nowcast_forecaster_load(folder, &forecaster, &error), &error);
    nowcast_forecaster_info info = NOWCAST_FORECASTER_INFO_INIT;
    check(nowcast_forecaster_describe(forecaster, &info, &error), &error);
    float *context = need(calloc((size_t)info.context, sizeof *context));
    float *steps = need(calloc((size_t)info.horizon * (1 + QUANTILES), sizeof *steps));
    char *block = need(malloc((size_t)info.forecast_bytes + NOWCAST_ALIGNMENT));
    void *memory = block + NOWCAST_ALIGNMENT - (uintptr_t)block % NOWCAST_ALIGNMENT;
    nowcast_forecast *forecast = NULL;
    check(nowcast_forecast_open(forecaster, NOWCAST_ISA_AUTO, memory, info.forecast_bytes,
                                &forecast, &error),
          &error);
    check(nowcast_forecast_prefault(forecast, &error), &error);

    FILE *file = fopen(series, "r");
    int64_t last = file == NULL ? -1 : read_series(file, context, info.context);
    if (last < 0) {
        fprintf(stderr, "forecast: %s must have at least %llu lines of time and value\n", series,
                (unsigned long long)info.context);
        return EXIT_FAILURE;
    }
    fclose(file);

    /* Serving: nothing from here on allocates, locks or calls the system. */
    int64_t first_step = last + info.step_seconds;
    check(nowcast_forecast_run(forecast, context, info.context, first_step, &error), &error);
    check(nowcast_forecast_mean(forecast, steps, info.horizon, &error), &error);
    for (uint64_t q = 0; q < QUANTILES; q++) {
        float *out = steps + info.horizon * (q + 1);
        check(nowcast_forecast_quantile(forecast, PROBABILITIES[q], out, info.horizon, &error),
              &error);
    }

    for (uint64_t step = 0; step < info.horizon; step++) {
        printf("%.4f", (double)steps[step]);
        for (uint64_t q = 1; q <= QUANTILES; q++) {
            printf(" %.4f", (double)steps[info.horizon * q + step]);
        }
        printf("\n");
    }
    check(nowcast_forecast_close(forecast, &error), &error);
    check(nowcast_forecaster_release(forecaster, &error), &error);
    free(block);
    free(steps);
    free(context);
    return EXIT_SUCCESS;
}
