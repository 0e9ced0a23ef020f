"""The frame: every case whole, byte by byte, and with trailing bytes; every faulty prefix as early as it shows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msc.errors import FrameTooLong, Refusal, UnknownFrameKind
from msc.limits import FRAME_OVERHEAD_BYTES
from msc.protocol.frame import ACK, CONTROL, DATA, KINDS, PING, Frame, FrameDecoder, encode_frame
from tests.support.vectors import cases
from tests.support.wire import FRAME_BYTES_MAX, Cut

Case = dict[str, Any]

frames = st.builds(Frame, st.sampled_from(sorted(KINDS)), st.integers(0, 2**32 - 1), st.binary(max_size=200))


def expected(case: Case) -> Frame:
    return Frame(ord(case["kind"]), case["sequence"], case["payload"].encode())


@pytest.mark.parametrize("case", cases("frame.toml", "frame"))
def test_a_frame_is_written_as_in_the_vectors(case: Case) -> None:
    assert encode_frame(*expected(case)) == bytes.fromhex(case["hex"])


@pytest.mark.parametrize("case", cases("frame.toml", "frame"))
def test_a_frame_is_read_whole_and_byte_by_byte(case: Case, cut: Cut) -> None:
    data = bytes.fromhex(case["hex"])
    decoder = FrameDecoder()
    taken = []
    for at, piece in enumerate(cut(data), 1):
        decoder.receive_data(piece)
        kind, frame = decoder.peek_kind(), decoder.take()
        assert kind == (frame.kind if frame else None)
        assert frame is None or at == len(list(cut(data))), "a frame was taken before it was whole"
        taken += [frame] if frame else []
    assert taken == [expected(case)]
    assert len(decoder) == 0


@pytest.mark.parametrize("case", cases("frame.toml", "frame"))
@pytest.mark.parametrize("trailing", ["00", "000000", "0000000544000000", "00000005 44 00000009", "ffffffff"])
def test_a_frame_is_read_with_trailing_bytes(case: Case, trailing: str, cut: Cut) -> None:
    decoder = FrameDecoder()
    data = bytes.fromhex(case["hex"])
    taken = []
    decoder.receive_data(data)
    for piece in cut(bytes.fromhex(trailing)):
        decoder.receive_data(piece)
        if not taken:
            taken.append(decoder.take())
    assert taken == [expected(case)]
    assert len(decoder) == len(bytes.fromhex(trailing))


@pytest.mark.parametrize("case", cases("frame.toml", "faulty"))
@pytest.mark.parametrize("read", [FrameDecoder.take, FrameDecoder.peek_kind, lambda d: d.count(DATA, 3)])
def test_a_faulty_prefix_is_refused_as_early_as_its_bytes_show_it(case: Case, read: Any) -> None:
    data = bytes.fromhex(case["hex"])
    decoder = FrameDecoder(FRAME_BYTES_MAX)
    for at in range(case["shown_by"] - 1):
        decoder.receive_data(data[at : at + 1])
        assert not read(decoder)
    decoder.receive_data(data[case["shown_by"] - 1 : case["shown_by"]])
    with pytest.raises(Refusal) as refused:
        read(decoder)
    assert refused.value.code == case["code"]


@pytest.mark.parametrize("case", cases("frame.toml", "faulty"))
def test_a_faulty_prefix_is_refused_whole_and_behind_a_good_frame(case: Case) -> None:
    decoder = FrameDecoder(FRAME_BYTES_MAX)
    decoder.receive_data(encode_frame(PING, 1) + bytes.fromhex(case["hex"]))
    assert decoder.take() == Frame(PING, 1, b"")
    with pytest.raises(Refusal) as refused:
        decoder.take()
    assert refused.value.code == case["code"]


@pytest.mark.parametrize("bound", [5, 6, 100])
def test_the_longest_frame_is_taken_and_one_byte_more_is_not(bound: int) -> None:
    fits = encode_frame(DATA, 1, b"x" * (bound - FRAME_OVERHEAD_BYTES))
    decoder = FrameDecoder(bound)
    decoder.receive_data(fits)
    assert decoder.take() is not None
    decoder.receive_data(encode_frame(DATA, 2, b"x" * (bound - FRAME_OVERHEAD_BYTES + 1))[:4])
    with pytest.raises(FrameTooLong):
        decoder.take()


def test_every_kind_byte_is_either_one_of_six_or_refused() -> None:
    known = set()
    for kind in range(256):
        decoder = FrameDecoder()
        decoder.receive_data(encode_frame(kind, 0))
        try:
            frame = decoder.take()
        except UnknownFrameKind:
            continue
        assert frame == Frame(kind, 0, b"")
        known.add(chr(kind))
    assert known == set("CDANPQ")


def test_whole_frames_of_a_kind_are_counted_up_to_a_bound_and_not_taken() -> None:
    decoder = FrameDecoder()
    decoder.receive_data(
        encode_frame(DATA, 1) + encode_frame(ACK, 1) + encode_frame(DATA, 2, b"x") + encode_frame(CONTROL, 0)
    )
    decoder.receive_data(encode_frame(DATA, 3)[:-1])
    assert [decoder.count(DATA, n) for n in (0, 1, 2, 3)] == [0, 1, 2, 2]
    assert decoder.take() == Frame(DATA, 1, b"")
    assert decoder.count(DATA, 9) == 1


@given(sent=st.lists(frames, max_size=8), sizes=st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_property_frames_come_out_as_they_went_in_however_they_are_cut(sent: list[Frame], sizes: list[int]) -> None:
    data = b"".join(encode_frame(*frame) for frame in sent)
    decoder, taken, at, turn = FrameDecoder(), [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        decoder.receive_data(data[at : at + size])
        at, turn = at + size, turn + 1
        while (frame := decoder.take()) is not None:
            taken.append(frame)
    assert taken == sent
    assert len(decoder) == 0
