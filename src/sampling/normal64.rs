use crate::kernels::Simd;
pub(super) fn normal64<S: Simd>(s: S, word: S::U32, second: S::U32) -> [S::F64; 2] {
    let (mut w, mut k) = ([0u32; 16], [0u32; 16]);
    s.u32_store(word, &mut w);
    s.u32_store(second, &mut k);
    let mut z = [0.0; 16];
    for i in 0..S::LANES {
        let m = if (w[i] as i32) < 0 { !w[i] } else { w[i] };
        let tail = i32::MAX as u32 - m;
        let t = (f64::from(tail) + (f64::from(k[i]) + 0.5) / 4294967296.0) / 4294967296.0;
        z[i] = -super::normal_quantile(t);
        if (w[i] as i32) < 0 {
            z[i] = -z[i]
        }
    }
    let low = s.f64_load(&z);
    [low, if S::LANES == S::F64_LANES { low } else { s.f64_load(&z[S::F64_LANES..]) }]
}
