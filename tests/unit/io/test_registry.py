import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from icploop.errors import RefusedError, UsageError
from icploop.io import registry
from icploop.io.home import Home
from icploop.io.tracking import connect
from icploop.modeling.scoring.version import SCORE_COLUMNS, Bands, content_hash
from icploop.pipelines.score import score_file
from tests.unit import planted
from tests.unit.conftest import Trained
from tests.unit.planted import at
from tests.unit.registered import pieces

MOTION = planted.MOTION


@pytest.fixture
def home(trained: Trained) -> Home:
    """The trained home, to be read only."""
    return trained.home


def accounts() -> pd.DataFrame:
    """A few prospects as a caller of the served model sends them."""
    known = planted.company()["accounts"].drop_duplicates("account_id")
    sent = known.tail(40).drop(columns=["observed_at", "parent_id", "name", "domain"])
    return sent.reset_index(drop=True)


class TestAVersion:
    def test_it_carries_what_it_rests_on_as_tags(self, home: Home):
        found = registry.describe(home, MOTION, "1")
        version = registry.load(home, MOTION, "1")
        assert found.tags["content_hash"] == content_hash(version.parts())
        assert found.tags["snapshot_hash"] == version.snapshot_hash
        assert found.tags["policy_hash"] == home.settings().policy.digest()
        assert found.tags["verdict"] == "PROMOTE"
        assert found.tags["as_of"] == planted.LAST_DAY.isoformat()

    def test_what_cannot_score_is_not_registered(self, own: Home):
        whole = registry.load(own, MOTION, "1")
        broken = replace(whole, bands=Bands(whole.bands.edges, (), ()))
        run_id = registry.describe(own, MOTION, "1").run_id
        with pytest.raises(IndexError):
            registry.register(
                own, broken, run_id=run_id, description="", tags={}, example=accounts().head(1)
            )
        assert set(registry.versions(own, MOTION)) == {"1"}

    def test_its_description_is_the_readable_icp(self, home: Home):
        text = registry.describe(home, MOTION, "1").description
        assert "industry is health" in text
        assert "industry is gaming" in text.split("Do not pursue")[1]
        assert "| challenger |" in text

    def test_it_has_a_signature_with_every_attribute_and_score(self, home: Home):
        connect(home)
        signature = mlflow.models.get_model_info(f"models:/icp-{MOTION}/1").signature
        assert set(signature.inputs.input_names()) == {"account_id", *_attributes(home)}
        assert signature.inputs.required_input_names() == ["account_id"]
        assert signature.outputs.input_names() == SCORE_COLUMNS

    def test_its_input_example_can_be_scored(self, home: Home):
        connect(home)
        model = mlflow.pyfunc.load_model(f"models:/icp-{MOTION}/1")
        example = model.metadata.load_input_example()
        assert len(model.predict(example)) == len(example) == 3

    def test_its_signature_is_enforced_and_its_columns_are_those_of_a_scored_file(self, home: Home):
        connect(home)
        model = mlflow.pyfunc.load_model(f"models:/icp-{MOTION}/1")
        example = model.metadata.load_input_example()
        more = example.assign(shoe_size=42)
        assert model.predict(more).columns.tolist() == SCORE_COLUMNS
        with pytest.raises(MlflowException, match="account_id"):
            model.predict(example.drop(columns="account_id"))
        with pytest.raises(MlflowException, match="Incompatible input types"):
            model.predict(example.assign(employees="many"))

    def test_nothing_in_it_is_a_pickle_and_the_code_goes_along(self, home: Home):
        connect(home)
        folder = Path(mlflow.artifacts.download_artifacts(f"models:/icp-{MOTION}/1"))
        names = {path.name for path in folder.rglob("*") if path.is_file()}
        assert not [n for n in names if n.endswith((".pkl", ".pickle", ".joblib", ".cloudpickle"))]
        assert (folder / "code" / "icploop" / "io" / "serving.py").is_file()

    def test_it_states_the_packages_that_serve_it(self, home: Home):
        connect(home)
        stated = mlflow.pyfunc.get_model_dependencies(f"models:/icp-{MOTION}/1")
        assert "xgboost" in Path(stated).read_text()

    def test_it_loads_in_a_fresh_process_without_pickles_and_scores_as_icp_score_does(
        self, home: Home, tmp_path: Path
    ):
        accounts().to_parquet(tmp_path / "in.parquet")
        score_file(at(home, planted.LAST_DAY), tmp_path / "in.parquet", tmp_path / "out.parquet")
        expected = pd.read_parquet(tmp_path / "out.parquet")
        code = """
import sys, mlflow, pandas as pd
model = mlflow.pyfunc.load_model("models:/icp-default@champion")
scores = model.predict(pd.read_parquet("in.parquet"), params={"as_of": sys.argv[1]})
scores.to_parquet("served.parquet")
plain = model.predict(
    pd.read_parquet("in.parquet"), params={"as_of": sys.argv[1], "reasons": False}
)
assert plain["reasons_for"].isna().all() and scores["reasons_for"].notna().any()
assert plain["expected_nrr"].equals(scores["expected_nrr"])
assert not {"prefect", "duckdb", "flows"} & set(sys.modules), "serving needs no flows"
"""
        subprocess.run(
            [sys.executable, "-c", code, planted.LAST_DAY.isoformat()],
            cwd=tmp_path,
            check=True,
            env=os.environ
            | {
                "MLFLOW_TRACKING_URI": f"sqlite:///{home.mlruns / 'mlflow.db'}",
                "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
            },
        )
        served = pd.read_parquet(tmp_path / "served.parquet")
        assert set(served.pop("icp_version")) == {
            registry.describe(home, MOTION, "1").tags["content_hash"][:12]
        }
        pd.testing.assert_frame_equal(served, expected.drop(columns="icp_version"))


class TestNames:
    @pytest.mark.parametrize("which", ["1", "v1", "champion"])
    def test_a_version_is_found_by_number_and_alias(self, home: Home, which: str):
        assert registry.describe(home, MOTION, which).number == "1"

    @pytest.mark.parametrize(
        "which", ["2", "challenger", "latest", "", "v", "x' OR 1=1", "1" * 30, "²"]
    )
    def test_an_unknown_one_is_told_the_versions_that_there_are(self, home: Home, which: str):
        with pytest.raises(UsageError, match=r"is no version of icp-default; versions: 1$"):
            registry.describe(home, MOTION, which)

    def test_before_the_first_one_the_message_says_what_to_run(self, home: Home):
        with pytest.raises(UsageError, match="versions: none yet, run `icp retrain`"):
            registry.load(home, "upsell", "champion")
        assert registry.aliases(home, "upsell") == {}


class TestAliases:
    def test_an_alias_can_be_set_moved_and_taken_away(self, waiting: Home):
        registry.set_aliases(waiting, MOTION, {"previous": "1"})
        registry.set_aliases(waiting, MOTION, {"champion": "2"})
        assert registry.aliases(waiting, MOTION) == {
            "champion": "2",
            "previous": "1",
            "challenger": "2",
        }
        registry.set_aliases(waiting, MOTION, {"challenger": None})
        assert "challenger" not in registry.aliases(waiting, MOTION)

    def test_tags_can_be_added_to_a_version(self, own: Home):
        registry.tag_version(own, MOTION, "1", {"remark": "Größe"})
        assert registry.describe(own, MOTION, "1").tags["remark"] == "Größe"


class TestAlteration:
    @pytest.mark.parametrize("change", ["a value", "a cut", "one more file"])
    def test_a_version_whose_pieces_were_altered_is_refused(self, own: Home, change: str):
        parts = pieces(own)
        if change == "a value":
            document = json.loads((parts / "version.json").read_bytes())
            document["tiers"]["A"] = 0.3
            (parts / "version.json").write_text(json.dumps(document, indent=1))
        elif change == "a cut":
            (parts / "profile.json").write_bytes(b"")
        else:
            (parts / "more.json").write_bytes(b"{}")
        with pytest.raises(
            RefusedError, match=r"Version 1 of icp-default was altered.*train again"
        ):
            registry.load(own, MOTION, "champion")


def _attributes(home: Home) -> set[str]:
    return {a.name for a in home.settings().attributes}
