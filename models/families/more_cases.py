"""The wider set of networks from PyTorch, one or two files a kind."""

import torch
from torch import nn

import convolution_models as cm
import density_models as dm
import forecast_models as fm
import form_models as forms
import script_models as scripts
import sequence_models as sm
import torch_models as tm
from torch_case import DYNAMO, TORCHSCRIPT, TorchCase, tokens, window

BATCH = {0: "batch"}
LENGTH = {0: "batch", 1: "length"}


def series(batch: int = 2, length: int = tm.CONTEXT) -> torch.Tensor:
    return torch.randn(batch, length)


def channels(batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, tm.CHANNELS, tm.CONTEXT)


def integers(high: int, *shape: int) -> torch.Tensor:
    return torch.randint(0, high, shape)


def forecast_cases() -> list[TorchCase]:
    return [
        TorchCase("dlinear", fm.DLinear, (window(2),), dynamic=(BATCH,)),
        TorchCase("nlinear", fm.NLinear, (window(2),), dynamic=(BATCH,)),
        TorchCase("nhits", fm.NHits, (series(),), dynamic=(BATCH,)),
        TorchCase("patchtst", fm.PatchTst, (window(2),), dynamic=(BATCH,), exporters=(DYNAMO,)),
        TorchCase(
            "itransformer", fm.ITransformer, (window(2), torch.randn(2, tm.CONTEXT, 4)),
            ("context", "marks"), dynamic=(BATCH, BATCH), exporters=(DYNAMO,),
        ),
        TorchCase("timesnet", fm.TimesNet, (window(2),), dynamic=(BATCH,), exporters=(DYNAMO,)),
        TorchCase("informer", fm.Informer, (window(2),), dynamic=(BATCH,), exporters=(DYNAMO,)),
        TorchCase("autoformer", fm.Autoformer, (window(2),), dynamic=(BATCH,), exporters=(DYNAMO,)),
        TorchCase("scinet", fm.Scinet, (window(2),), dynamic=(BATCH,), exporters=(DYNAMO,)),
        TorchCase("timemixer", fm.TimeMixer, (window(2),), dynamic=(BATCH,)),
        TorchCase("lstnet", fm.LstNet, (window(2),), dynamic=(BATCH,)),
        TorchCase("esrnn", fm.EsRnn, (series(),), dynamic=(BATCH,), exporters=(DYNAMO,)),
        TorchCase("kalman", fm.Kalman, (series(2, 8),), outputs=("mean", "scale"), exporters=(DYNAMO,)),
    ]  # fmt: skip


def density_cases() -> list[TorchCase]:
    whole = tm.CONTEXT + tm.HORIZON
    state = torch.zeros(2, 2, dm.DIM)
    return [
        TorchCase(
            "tft", dm.TemporalFusion,
            (series(), series(2, whole), integers(24, 2, whole), integers(10, 2)),
            ("context", "known", "hour", "series"), ("quantiles", "attention"),
            dynamic=(BATCH,) * 4, exporters=(DYNAMO,),
        ),
        TorchCase(
            "deepar", dm.DeepAr,
            (series(2, 4), torch.randn(2, 1, 2), integers(10, 2), state, state),
            ("lags", "marks", "series", "hidden_in", "cell_in"),
            ("df", "loc", "scale", "hidden_out", "cell_out"),
            dynamic=(BATCH, BATCH, BATCH, {1: "batch"}, {1: "batch"}),
        ),
        TorchCase(
            "negative_binomial", dm.NegativeBinomial,
            (integers(9, 2, tm.CONTEXT), torch.rand(2, 1)), ("counts", "last"),
            ("mean", "shape", "rate", "zero", "bits"), dynamic=(BATCH, BATCH), exporters=(DYNAMO,),
        ),
        TorchCase(
            "mqrnn", dm.MqRnn, (window(2), torch.randn(2, tm.HORIZON, 2)), ("context", "future"),
            ("quantiles",), dynamic=(LENGTH, BATCH),
        ),
        TorchCase(
            "mixture_density", dm.MixtureDensity, (series(), series(2, 1)), ("context", "value"),
            ("mean", "variance", "log_density", "cumulative"), dynamic=(BATCH, BATCH),
        ),
        TorchCase(
            "realnvp", dm.RealNvp, (series(2, tm.HORIZON), series(2, tm.HORIZON)),
            ("noise", "condition"), ("path", "log_determinant"), dynamic=(BATCH, BATCH), exporters=(DYNAMO,),
        ),
        TorchCase(
            "implicit_quantile", dm.ImplicitQuantile, (series(), torch.rand(2, 3)),
            ("context", "levels"), dynamic=(BATCH, {0: "batch", 1: "levels"}),
        ),
        TorchCase(
            "spline_quantile", dm.SplineQuantile, (series(), torch.rand(2, 3)),
            ("context", "levels"), ("quantiles", "knots"), dynamic=(BATCH, BATCH),
        ),
        TorchCase(
            "gaussian_process", dm.GaussianProcess, (series(),), outputs=("mean", "deviation"),
            dynamic=(BATCH,), exporters=(TORCHSCRIPT,),
        ),
        TorchCase("kan", dm.Kan, (series(),), dynamic=(BATCH,)),
    ]  # fmt: skip


def sequence_cases() -> list[TorchCase]:
    past = torch.randn(1, sm.Llama.GROUPS, 5, 4)
    return [
        TorchCase("mamba", sm.SelectiveScan, (window(2),), dynamic=(BATCH,), exporters=(DYNAMO,)),
        TorchCase("mamba_segments", sm.SegmentScan, (window(2),), dynamic=(LENGTH,)),
        TorchCase("s4d", sm.DiagonalStates, (window(2),), dynamic=(BATCH,), exporters=(DYNAMO,)),
        TorchCase("xlstm", sm.XLstm, (window(2),), dynamic=(BATCH,), exporters=(DYNAMO,)),
        TorchCase("cells", sm.Cells, (window(2),), dynamic=(BATCH,), exporters=(TORCHSCRIPT,)),
        TorchCase("seq2seq_gru", sm.Seq2Seq, (window(2),), dynamic=(LENGTH,), exporters=(TORCHSCRIPT,)),
        TorchCase("rnn", sm.VanillaRnn, (window(2), torch.randn(4, 2, sm.DIM)),
                  ("context", "hidden_in"), ("forecast", "hidden_out"), exporters=(TORCHSCRIPT,)),
        TorchCase("packed", sm.Packed, (window(2), torch.tensor([5, 3])), ("context", "lengths"),
                  ("forecast", "states"), exporters=(TORCHSCRIPT,)),
        TorchCase(
            "llama", sm.Llama, (tokens(1, 1), past, past), ("tokens", "past_key", "past_value"),
            ("logits", "key", "value"), dynamic=({}, {2: "past"}, {2: "past"}),
        ),
        TorchCase("chronos", sm.Chronos, (series(),), outputs=("logits", "scale"), dynamic=(LENGTH,)),
        TorchCase("alibi", sm.Alibi, (tokens(2), integers(2, 2, tm.CONTEXT)),
                  ("tokens", "mask"), dynamic=(LENGTH, LENGTH)),
        TorchCase(
            "transformer", sm.FullTransformer,
            (window(2), window(2)[:, :4], torch.zeros(2, tm.CONTEXT, dtype=torch.bool)),
            ("context", "target", "padding"), dynamic=(BATCH, BATCH, BATCH), exporters=(DYNAMO,),
        ),
        TorchCase("experts", sm.Experts, (window(2),), outputs=("forecast", "load"), dynamic=(LENGTH,)),
        TorchCase("swin", sm.WindowAttention, (torch.randn(2, 1, 16, 16),), dynamic=(BATCH,)),
        TorchCase("linear_attention", sm.Linformer, (window(2),), dynamic=(LENGTH,)),
    ]  # fmt: skip


def convolution_cases() -> list[TorchCase]:
    tail = {0: "batch", 2: "length"}
    edges = torch.tensor([[0, 1, 2, 3, 4, 0], [1, 2, 3, 4, 0, 2]])
    return [
        TorchCase("wavenet", cm.WaveNet, (channels(),), dynamic=(BATCH,)),
        TorchCase("tcn_normed", cm.NormedTcn, (channels(),), dynamic=(tail,)),
        TorchCase("mqcnn", cm.MqCnn, (window(2), torch.randn(2, tm.HORIZON, 2)),
                  ("context", "future"), ("quantiles",), dynamic=(LENGTH, BATCH)),
        TorchCase("inception", cm.Inception, (channels(),), dynamic=(tail,)),
        TorchCase("resnet", cm.ResNet1d, (torch.randn(2, tm.CHANNELS, 32),), dynamic=(BATCH,)),
        TorchCase("unet", cm.UNet1d, (torch.randn(2, 1, 32),), dynamic=(BATCH,)),
        TorchCase("convlstm", cm.ConvLstm, (torch.randn(1, 4, 1, 6, 6),), dynamic=(BATCH,)),
        TorchCase("spectrogram", cm.Spectrogram, (torch.randn(2, 1, 12, 16),),
                  outputs=("logits", "blocks"), dynamic=(BATCH,), exporters=(DYNAMO,)),
        TorchCase("graph_wavenet", cm.GraphWaveNet, (torch.randn(2, tm.CHANNELS, 5, 8),), dynamic=(BATCH,)),
        TorchCase("graph_convolution", cm.GraphConvolution, (torch.randn(5, tm.CHANNELS), edges),
                  ("nodes", "edges"), dynamic=({}, {1: "edges"}), exporters=(DYNAMO,)),
    ]  # fmt: skip


def form_cases() -> list[TorchCase]:
    return [
        TorchCase(
            "categorical", forms.Categorical,
            (torch.randn(2, tm.CHANNELS), integers(4, 2, 3)), ("numbers", "categories"),
            dynamic=(BATCH, BATCH),
        ),
        TorchCase("bag", forms.Bag, (integers(20, 2, 5),), ("ids",), dynamic=(BATCH,),
                  exporters=(TORCHSCRIPT,)),
        TorchCase("calendar", forms.Calendar, (integers(1000, 2, 6),), ("hours",), dynamic=(LENGTH,)),
        TorchCase("sorting", forms.Sorting, (series(),),
                  outputs=("rank", "best", "median", "picked", "spread", "first")),
        TorchCase("masks", forms.Masks, (series(),), outputs=("scaled", "all", "any", "finite"), dynamic=(BATCH,)),
        TorchCase("windows", forms.Windows, (series(),), dynamic=(BATCH,), exporters=(DYNAMO,),
                  outputs=("lagged", "maxima", "folded", "rolled", "steps", "spread", "total",
                           "product", "every")),
        TorchCase("writes", forms.Writes, (series(), integers(20, 2, 2)), ("context", "where"),
                  ("buffer", "shifted")),
        TorchCase("pads", forms.Pads, (channels(), torch.randn(2, 2, 6, 8)), ("series", "image"),
                  tuple("abcdefghij"), dynamic=(BATCH, BATCH)),
        TorchCase("norms", forms.Norms, (channels(),), dynamic=(BATCH,), exporters=(DYNAMO,),
                  outputs=("normed", "unit", "cosine", "length", "sum")),
        TorchCase("activations", forms.Activations, (series(),), dynamic=(BATCH,), exporters=(DYNAMO,)),
        TorchCase("lengths", forms.Lengths, (window(2),), dynamic=(LENGTH,),
                  outputs=("forecast", "last", "ramp", "pooled")),
        TorchCase("open_length", forms.OpenLength, (window(2),), dynamic=(LENGTH,),
                  outputs=("whole", "recent", "finer", "ramp", "mixed", "half")),
        TorchCase(
            "multihead", forms.Multi,
            (torch.randn(2, 3, 8), torch.randn(2, 6, tm.CHANNELS), torch.randn(2, 6, 5),
             torch.zeros(2, 6, dtype=torch.bool)),
            ("query", "key", "value", "padding"), ("forecast", "weights", "own"),
        ),
        TorchCase("products", forms.Products, (series(2), series(2, 4)), ("left", "right"),
                  ("bilinear", "traced", "batched", "dots", "gram", "kron"), exporters=(DYNAMO,)),
        TorchCase("half", lambda: tm.Mlp().half(), (series().half(),), dynamic=(BATCH,)),
        TorchCase("bfloat", lambda: tm.Mlp().bfloat16(), (series().bfloat16(),)),
        TorchCase("double", lambda: fm.NLinear().double(), (window(2).double(),), dynamic=(BATCH,)),
    ]  # fmt: skip


def script_cases() -> list[TorchCase]:
    return [
        TorchCase(
            "script_loop", lambda: torch.jit.script(scripts.ScriptedDecoder()), (series(),),
            dynamic=(LENGTH,), exporters=(TORCHSCRIPT,),
        ),
        TorchCase(
            "script_branch", lambda: torch.jit.script(scripts.ScriptedBranch()), (window(2),),
            dynamic=(BATCH,), exporters=(TORCHSCRIPT,),
        ),
    ]  # fmt: skip


def torch_cases() -> list[TorchCase]:
    return [
        *forecast_cases(), *density_cases(), *sequence_cases(),
        *convolution_cases(), *form_cases(), *script_cases(),
    ]  # fmt: skip
