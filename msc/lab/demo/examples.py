"""Messages of the demo site, as an operator types them, and what comes of them.

All are sent from a static terminal of the sheriff by a full-access user of the sheriff (ORI CA0990000); the
records they ask about are the simulators' specimens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msc.lab.world import ORI, ori_of


def _example(text: str, expect: str, code: str | None = None) -> Mapping[str, str]:
    row = {"text": text, "expect": expect, "device": "DISPATCH1", "user": "D10002"}
    return row if code is None else {**row, "code": code}


EXAMPLES: Final = (
    _example(f"IW.QW.{ORI}.NAM/SPECIMEN,WANTED.DOB/19800101", "hit"),
    _example(f"IW.QW.{ORI}.NAM/SPECIMEN,CLEAR.DOB/19850505", "no_hit"),
    _example(f"IA.QV.{ORI}.LIC/ZZ0001X", "hit"),
    _example(f"IA.QV.{ORI}.LIC/ZZ0002X", "no_hit"),
    _example(f"IG.QG.{ORI}.SER/TESTGUN999001", "hit"),
    _example(f"IG.QG.{ORI}.SER/TESTGUN999002", "no_hit"),
    _example(f"IP.QA.{ORI}.SER/TESTART999001.TYP/BBICYCL", "hit"),
    _example(f"IP.QA.{ORI}.SER/TESTART999002.TYP/BBICYCL", "no_hit"),
    _example(f"IM.QM.{ORI}.NAM/SPECIMEN,MISSING", "hit"),
    _example(f"IB.QRR.{ORI}.NAM/SPECIMEN,RESTRAINED", "hit"),
    _example(f"QV.{ORI}.LIC/ZZ0001X", "hit"),
    _example(f"QW.{ORI}.NAM/SPECIMEN,CLEAR.DOB/19850505", "no_hit"),
    _example("", "refused", "E201"),
    _example(f"IW.ZZ.{ORI}.NAM/DOE,JOHN", "refused", "E205"),
    _example(f"IW.QW.{ORI}.SEX/M", "refused", "E206"),
    _example(f"IW.QW.{ori_of(1)}.NAM/DOE,JOHN", "refused", "E207"),
    _example(f"IV.4.{ORI}.LIC/ZZ0002X.XX/\u00e9", "refused", "E208"),
    _example(f"IH.QH.{ORI}.NAM/SPECIMEN,RECORDED.PUR/Z", "refused", "E303"),
    _example(f"IH.QH.{ORI}.NAM/SPECIMEN,RECORDED.PUR/C", "refused", "E304"),
    _example(f"AM.{ORI}.EXZ9.TXT NOBODY IS THERE", "refused", "E306"),
)
