import pyarrow as pa
import pytest

from tasks.core.errors import ModelError, RegistryError
from tasks.core.flow_settings import PredictSettings
from tasks.network.bundle import open_keras
from tasks.predict import predict_text
from tasks.registry.client import registry
from tasks.registry.versions import CONTENT, PROMOTION
from tests.support.champions import MODEL, register
from tests.support.small_runs import make_classifier


@pytest.fixture
def before(store, tmp_path):
    """A champion as it was registered before versions had a hash and an ONNX network, and its version's number."""
    packaged = tmp_path / "packaged"
    packaged.mkdir()
    make_classifier(packaged)
    number = register(packaged, store / "registered")
    (store / "registered" / "model.onnx").unlink()
    with registry(None) as client:
        client.delete_model_version_tag(MODEL, str(number), CONTENT)
    return packaged, str(number)


def test_a_version_that_was_registered_before_there_were_hashes_is_loaded_with_a_warning(before, caplog):
    packaged, number = before
    with registry(None) as client:
        client.set_model_version_tag(MODEL, number, PROMOTION, '{"decision": "champion"}')
    predicted = predict_text(PredictSettings(text="good film"), None)
    assert predicted["model"] == f"{MODEL} version {number}"
    expected = open_keras("here", packaged).predict(pa.array(["good film"]))[0]
    assert predicted["probabilities"]["positive"] == pytest.approx(expected, abs=1e-6)
    assert (
        f"{MODEL} version {number}: was registered without the hash of its files, so they are not verified"
        in caplog.text
    )


def test_a_version_that_someone_else_has_registered_is_refused(before):
    with pytest.raises(RegistryError, match="this project has not registered it"):
        predict_text(PredictSettings(text="good film", registered_model=MODEL), None)
    with registry(None) as client:
        client.create_registered_model("another")
    with pytest.raises(ModelError, match=f"no model has a champion yet.*another, {MODEL}"):
        predict_text(PredictSettings(text="good film"), None)
