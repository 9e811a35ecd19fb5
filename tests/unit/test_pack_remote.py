"""Stores in an S3 bucket, served on this machine: what is read, and how much is moved for it."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import obstore
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer

from braindata.errors import BraindataError, DamageError, UsageError
from braindata.pack.mask import store_mask
from braindata.pack.order import voxel_order
from braindata.pack.remote import BLOCK, RangeFile, open_remote
from braindata.pack.store import Grid, open_store, write_store
from braindata.pack.sums import place, store_mean
from tests.bench.images import AFFINE, SHAPE, blob

CONTENT = np.random.default_rng(0).bytes(5 * BLOCK + 77)


@given(
    steps=st.lists(
        st.tuples(st.integers(0, len(CONTENT) + 10), st.integers(0, 2 * BLOCK)), max_size=12
    )
)
def test_reads_like_a_file(steps: list[tuple[int, int]]) -> None:
    file = RangeFile(lambda start, end: CONTENT[start:end], len(CONTENT), "a")
    expected = io.BytesIO(CONTENT)
    for position, n_bytes in steps:
        assert file.seek(position) == expected.seek(position)
        assert file.read(n_bytes) == expected.read(n_bytes)
        assert file.tell() == expected.tell()
    assert file.n_bytes <= sum(max(n, 2 * BLOCK) for _, n in steps)


def test_a_short_answer_is_no_content() -> None:
    file = RangeFile(lambda start, end: CONTENT[start : end - 1], len(CONTENT), "a")
    with pytest.raises(OSError, match="bytes came for a range"):
        file.read(10)


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, Any]]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield {
        "endpoint": f"http://{host}:{port}",
        "access_key_id": "x",
        "secret_access_key": "y",
        "region": "us-east-1",
        "virtual_hosted_style_request": False,
        "client_options": {"allow_http": True},
    }
    running.stop()


@pytest.fixture(scope="module")
def bucket(server: dict[str, Any]) -> Any:
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=server["endpoint"],
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="y",
    )
    client.create_bucket(Bucket="corpus")
    return obstore.store.from_url("s3://corpus/packed", **server)


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_a_region_of_500_voxels_moves_less_than_3_mb(
    server: dict[str, Any], bucket: Any, tmp_path: Path, dtype: str
) -> None:
    rng = np.random.default_rng(1)
    order = voxel_order(store_mask(SHAPE, AFFINE))
    noise = rng.normal(900, 40, (len(order.voxels), 100))
    samples = (noise * 10 if dtype == "int16" else noise).astype(dtype)
    confounds = pd.DataFrame(rng.normal(size=(100, 150)))
    grid = Grid(SHAPE, AFFINE, "MNI152NLin2009cAsym")
    has_data = np.ones(len(order.voxels), bool)
    path = tmp_path / f"{dtype}.h5"
    write_store(path, samples, grid, order.voxels, has_data, 2.0, confounds, {}, slope=0.1)
    obstore.put(bucket, path.name, path)
    moved = []
    for center in ([60, 70, 50], [30, 40, 60], [48, 85, 40], [48, 30, 35]):
        region = place(blob(order.voxels, np.array(center), 500), np.ones(500), order)
        file = open_remote(f"s3://corpus/packed/{path.name}", **server)
        with open_store(file) as store:
            far = store_mean(store, region)
            assert store.confounds.shape == (100, 150)
        with open_store(path) as store:
            near = store_mean(store, region)
        assert far.values.tobytes() == near.values.tobytes()
        moved.append((file.n_bytes, file.n_requests))
    print(path.stat().st_size, moved)
    assert max(n_bytes for n_bytes, _ in moved) < 3e6
    assert max(n_requests for _, n_requests in moved) < 40


def test_what_is_not_there_is_named(server: dict[str, Any], bucket: Any) -> None:
    with pytest.raises(BraindataError, match="cannot be read") as raised:
        open_remote("s3://corpus/packed/none.h5", **server)
    assert raised.value.file == "s3://corpus/packed/none.h5"


def test_what_is_no_store_is_damage(server: dict[str, Any], bucket: Any) -> None:
    obstore.put(bucket, "text.h5", b"no store")
    file = open_remote("s3://corpus/packed/text.h5", **server)
    with pytest.raises(DamageError, match="cannot be opened") as raised, open_store(file):
        pass
    assert "packed/text.h5" in str(raised.value.file)
    assert "run again" not in str(raised.value.hint)


def test_a_server_without_ranges_is_named_and_the_store_not_blamed(tmp_path: Path) -> None:
    write_store(
        tmp_path / "a.h5",
        np.arange(60, dtype=np.int16).reshape(6, 10),
        Grid((1, 2, 3), np.eye(4), "MNI152NLin2009aSym"),
        np.arange(6),
        np.ones(6, bool),
        2.0,
        pd.DataFrame({"csf": np.arange(10.0)}),
        {},
    )

    class Whole(SimpleHTTPRequestHandler):
        """Sends whole files, whatever is asked for, as Python's own server does."""

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Whole, directory=str(tmp_path))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/a.h5"
        file = open_remote(url, client_options={"allow_http": True})
        with pytest.raises(DamageError, match="Range request not supported") as raised:
            open_store(file).__enter__()
        server.shutdown()
    assert "ranges" in str(raised.value.hint)
    assert "delete" not in str(raised.value.hint)
    assert "\n" not in raised.value.problem


def test_an_unknown_kind_of_address_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot be used"):
        open_remote("gopher://host/packed/a.h5")
