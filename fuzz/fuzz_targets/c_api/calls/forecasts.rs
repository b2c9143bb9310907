//! Forecasters from parts that may be damaged, and forecasts.

use core::ffi::c_void;
use core::ptr::{null, null_mut};

use nowcast_fuzz::choices::Choices;
use nowcast_fuzz::fixture;

use super::{isa, number, paths, room};
use crate::header::*;
use crate::world::{Buffer, Kind, World, checked, out, sized};

pub(super) fn load_forecaster(world: &mut World, choices: &mut Choices<'_>) {
    if choices.one_in(4) {
        let forecaster = world.handle(Kind::Forecaster, choices);
        sized(choices, INFO_BYTES, |to, choices| {
            // SAFETY: handles are live or refused; the struct is as long as it says.
            checked(choices, |e| unsafe { nowcast_forecaster_describe(forecaster, to, e) })
        });
        return;
    }
    let mut parts = [
        fixture::FORECASTER_JSON.as_bytes().to_vec(),
        fixture::forecaster_model(),
        fixture::covariance_npy(),
    ];
    for _ in 0..choices.below(4) {
        let part = &mut parts[choices.below(3)];
        let at = choices.number() as usize % part.len();
        part[at] = choices.byte();
    }
    let [json, model, covariance] = parts.each_ref().map(|part| Buffer::filled(part, choices));
    let made = out::<*mut c_void>(choices, |to, choices| {
        // SAFETY: the parts are ours and as long as they say.
        checked(choices, |e| unsafe {
            nowcast_forecaster_load_parts(
                json.pointer,
                json.bytes,
                model.pointer,
                model.bytes,
                covariance.pointer,
                covariance.bytes,
                to,
                e,
            )
        })
    });
    if let Some(forecaster) = made {
        world.add(Kind::Forecaster, forecaster, null_mut(), None);
    }
}

/// Context, horizon and bytes of a forecast.
fn info(forecaster: *mut c_void) -> (u64, u64, u64) {
    let mut info = [u64::from(INFO_BYTES), 0, 0, 0, 0];
    // SAFETY: the struct is as long as it says.
    unsafe { nowcast_forecaster_describe(forecaster, info.as_mut_ptr().cast(), null_mut()) };
    (info[1], info[2], info[4])
}

pub(super) fn open_forecast(world: &mut World, choices: &mut Choices<'_>) {
    let forecaster = world.handle(Kind::Forecaster, choices);
    let needed = info(forecaster).2;
    let isa = isa(choices);
    let (memory, pointer, bytes) = room(needed.max(64), choices);
    let made = out::<*mut c_void>(choices, |to, choices| {
        // SAFETY: handles are live or refused; memory is as long as we say.
        checked(choices, |e| unsafe {
            nowcast_forecast_open(forecaster, isa, pointer, bytes, to, e)
        })
    });
    if let Some(forecast) = made {
        world.add(Kind::Forecast, forecast, forecaster, Some(memory));
    }
}

pub(super) fn use_forecast(world: &World, choices: &mut Choices<'_>) {
    let forecast = world.handle(Kind::Forecast, choices);
    let of = world.live.iter().find(|live| live.pointer == forecast);
    let (context, horizon, _) = of.map_or((4, 3, 0), |live| info(live.of));
    // SAFETY: handles are live or refused; arrays are as long as we say.
    unsafe {
        match choices.below(5) {
            0 => {
                let mut elements: Vec<f32> =
                    (0..context.min(4096)).map(|_| number(choices) as f32).collect();
                if choices.one_in(8) {
                    elements.pop();
                }
                let (len, time) = (elements.len() as u64, choices.hostile() as i64);
                let from = if choices.one_in(30) { null() } else { elements.as_ptr() };
                checked(choices, |e| nowcast_forecast_run(forecast, from, len, time, e));
            }
            1 => drop(checked(choices, |e| nowcast_forecast_prefault(forecast, e))),
            2 => {
                let to = Buffer::new(horizon * 4, choices);
                let len = if to.bytes > u64::MAX / 2 { to.bytes } else { to.bytes / 4 };
                let pointer = to.pointer.cast();
                checked(choices, |e| nowcast_forecast_mean(forecast, pointer, len, e));
            }
            3 => {
                let (to, p) = (Buffer::new(horizon * 4, choices), number(choices));
                let len = if to.bytes > u64::MAX / 2 { to.bytes } else { to.bytes / 4 };
                let pointer = to.pointer.cast();
                checked(choices, |e| nowcast_forecast_quantile(forecast, p, pointer, len, e));
            }
            _ => {
                let (seed, stream, first) =
                    (choices.hostile(), choices.hostile(), choices.hostile());
                let (memory, paths) = paths(horizon, choices);
                let to = memory.as_ref().map_or(null_mut(), |memory| memory.pointer().cast());
                checked(choices, |e| {
                    nowcast_forecast_paths(forecast, seed, stream, first, to, paths, e)
                });
            }
        }
    }
}
