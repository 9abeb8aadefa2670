"""What can go wrong while compiling: LM-110 to LM-149. Those of keys and publishing come with it.

RequestError   the model, the data or the recipe is wrong, or not what this compiler takes
VerdictError   it was compiled and measured, and it is not good enough
"""

from __future__ import annotations

from limosa_compiler.trust import errors as trust
from limosa_contracts.errors import FaultError, RequestError, TrustError, VerdictError

__all__ = ["trust"]  # their codes are known wherever this module is


class NotAModel(RequestError):
    code = "LM-110"
    summary = "the file is not an ONNX model that the checker accepts"
    default_hint = "export the model again; it must be one .onnx file"


class UnsupportedVersion(RequestError):
    code = "LM-111"
    summary = "the model's IR version or operator set is outside what devices' runtimes load"


class ExternalData(RequestError):
    code = "LM-112"
    summary = "the model keeps weights in other files"
    default_hint = (
        "save it as one file: torch.onnx.export(…, external_data=False), "
        "or onnx.save(model, path, save_as_external_data=False)"
    )


class CustomOperator(RequestError):
    code = "LM-113"
    summary = "the model uses operators that are not of the ONNX standard"


class UnsupportedShape(RequestError):
    code = "LM-114"
    summary = "an input or output has a type or shape that cannot be served"


class DataMismatch(RequestError):
    code = "LM-115"
    summary = "the names, types or shapes of data do not fit the model"


class DataUnreadable(RequestError):
    code = "LM-116"
    summary = "calibration or evaluation data cannot be read as arrays"
    default_hint = "give an .npz file, or a folder of .npy files, with one array per model input"


class LabelsMissing(RequestError):
    code = "LM-117"
    summary = "evaluation data has no labels"


class UnknownTarget(RequestError):
    code = "LM-118"
    summary = "there is no device profile of that name"
    default_hint = "limosa target list"


class ModelRefused(RequestError):
    code = "LM-119"
    summary = "the runtime does not load or run the model within its limits"


class UnknownMetric(RequestError):
    code = "LM-120"
    summary = "there is no metric of that name"


class TooFewRows(RequestError):
    code = "LM-121"
    summary = "there are too few rows of data to measure with"


class FolderNotEmpty(RequestError):
    code = "LM-122"
    summary = "a folder that is to be written already holds something"
    default_hint = "name a folder that does not exist yet"


class EntryPointFailed(RequestError):
    code = "LM-138"
    summary = "a Python function that the recipe names cannot be imported, or fails"


class MetricFailed(RequestError):
    code = "LM-136"
    summary = "a metric of the user's own does not give what it must"
    default_hint = "see [metric] in the reference of limosa.toml: what the function is given, and gives"


class PromiseBroken(VerdictError):
    code = "LM-137"
    summary = "the variant is larger than its target takes"
    default_hint = "limosa target show TARGET names the limits; a smaller model, or another target"


class RecipeExists(RequestError):
    code = "LM-148"
    summary = "there is a recipe already where one is to be written"
    http_status = 409
    default_hint = "name another file with --output, or --output - to look at it"


class BrokenWeights(RequestError):
    code = "LM-139"
    summary = "a weight of the model is NaN or infinite, or a scale is not above zero"


class ProfileUnusable(RequestError):
    code = "LM-149"
    summary = "a device profile of one's own cannot be read, or its name is taken"
    default_hint = "limosa target check FILE says what is wrong; limosa target new NAME writes one"


class StepRefused(RequestError):
    code = "LM-144"
    summary = "a step of pre- or postprocessing does not fit the model, or what comes before it"
    default_hint = "docs/reference/limosa-toml.md lists every step with the types that it takes"


class RungNotMade(RequestError):
    code = "LM-134"
    summary = "this way of making a candidate changes nothing of the model, or would take too long for it"


class ProfileDoubtful(VerdictError):
    code = "LM-176"
    summary = "a device profile contradicts itself, or is not one of this machine"
    default_hint = "limosa target show says what it says, and where each figure is from"


class RegistryFailed(RequestError):
    code = "LM-147"
    summary = "a model cannot be had from its MLflow registry, or is not one that can be built"
    default_hint = "pip install 'limosa[mlflow]', and set MLFLOW_TRACKING_URI as for mlflow itself"


class DeltaUnusable(TrustError):
    code = "LM-170"
    summary = "a file is not a delta, or is damaged; what it gives would not be what was asked for"
    default_hint = "make it again: limosa delta OLD NEW"


class OtherBase(RequestError):
    code = "LM-171"
    summary = "a delta is for another artifact or file than the one that is given"
    default_hint = "limosa inspect ARTIFACT says its digest"


class UnlikeFiles(RequestError):
    code = "LM-172"
    summary = "a delta is between two artifacts or between two plain files, not one of each"


class NothingSaved(VerdictError):
    code = "LM-173"
    summary = "there is no delta between two files that is smaller than the new one by itself"
    default_hint = "send the new file as it is"


class GateNotMet(VerdictError):
    code = "LM-133"
    summary = "no candidate meets the gate"


class GoldenMismatch(VerdictError):
    code = "LM-131"
    summary = "the model does not give the outputs that its golden vectors list on this machine"


class NotReproduced(VerdictError):
    code = "LM-146"
    summary = "a build repeated from its recipe and measurements gives other bytes"
    default_hint = "the first lines say what went in otherwise; --json lists every file"


class PassFailed(FaultError):
    code = "LM-132"
    summary = "a step of the compiler failed on a model that it had accepted"


class NoPython(FaultError):
    code = "LM-141"
    summary = "a toolchain needs a newer Python than any that runs here"


class ToolchainMissing(FaultError):
    code = "LM-142"
    summary = "a target needs a toolchain that is not installed"
    default_hint = "limosa toolchain install litert"


class ToolchainFailed(FaultError):
    code = "LM-143"
    summary = "a toolchain cannot be installed, or does not do its work"
