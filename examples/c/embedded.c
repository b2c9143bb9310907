/* A control loop with its model built in: every hour it takes a temperature, forecasts a day, and
 * turns a heater on when frost is likely. No file, no heap; all memory is set aside when it is
 * compiled. From the root of the repository:
 *
 *   nowcast compile temperature=models/jfk-lstm --emit c -o temperature.nowcast
 *   cargo build --profile minimal --package nowcast-minimal
 *   cc -Os -I. -I ffi/include examples/c/embedded.c temperature.c \
 *      target/minimal/libnowcast_minimal.a -Wl,--gc-sections -s -o embedded */
#include <stdio.h>
#include <string.h>

#define NOWCAST_MINIMAL
#include "temperature.h"

enum { FIRST_HOUR = 385525, HOURS = 24 };

NOWCAST_ALIGNED static unsigned char model_memory[TEMPERATURE_MODEL_BYTES];
NOWCAST_ALIGNED static unsigned char forecast_memory[TEMPERATURE_SESSION_BYTES];
static float context[TEMPERATURE_CONTEXT];
static float mean[TEMPERATURE_HORIZON], low[TEMPERATURE_HORIZON];

/* The sensor: degrees Fahrenheit, warm at noon, a degree colder every day. */
static float measure(int64_t hour)
{
    int64_t from_noon = hour % 24 < 12 ? 12 - hour % 24 : hour % 24 - 12;
    return 50.0f - (float)from_noon - (float)((hour - FIRST_HOUR) / 24);
}

int main(void)
{
    nowcast_error error = NOWCAST_ERROR_INIT;
    nowcast_forecaster *forecaster = NULL;
    nowcast_forecast *forecast = NULL;

    /* Set-up. */
    if (temperature_open(model_memory, sizeof model_memory, &forecaster, &error) != NOWCAST_OK ||
        nowcast_forecast_open(forecaster, NOWCAST_ISA_AUTO, forecast_memory,
                              sizeof forecast_memory, &forecast, &error) != NOWCAST_OK ||
        nowcast_forecast_prefault(forecast, &error) != NOWCAST_OK) {
        fprintf(stderr, "embedded: %s\n", error.message);
        return 1;
    }

    for (int64_t hour = FIRST_HOUR; hour < FIRST_HOUR + TEMPERATURE_CONTEXT + HOURS; hour++) {
        memmove(context, context + 1, sizeof context - sizeof context[0]);
        context[TEMPERATURE_CONTEXT - 1] = measure(hour);
        if (hour < FIRST_HOUR + TEMPERATURE_CONTEXT) {
            continue; /* not enough seen yet */
        }
        int64_t next = (hour + 1) * TEMPERATURE_STEP_SECONDS;
        if (nowcast_forecast_run(forecast, context, TEMPERATURE_CONTEXT, next, &error) ||
            nowcast_forecast_mean(forecast, mean, TEMPERATURE_HORIZON, &error) ||
            nowcast_forecast_quantile(forecast, 0.05, low, TEMPERATURE_HORIZON, &error)) {
            fprintf(stderr, "embedded: %s\n", error.message);
            return 1;
        }
        float coldest = low[0];
        for (int step = 1; step < TEMPERATURE_HORIZON; step++) {
            coldest = low[step] < coldest ? low[step] : coldest;
        }
        printf("%.3f %.3f %s\n", (double)mean[0], (double)coldest,
               coldest < 32.0f ? "heat" : "rest");
    }
    nowcast_forecast_close(forecast, NULL);
    nowcast_forecaster_release(forecaster, NULL);
    return 0;
}
