from ccp2p.model.codec import decode
from ccp2p.model.errors import LocalFault, PeerFault, origin


def failure(data: object) -> Exception:
    try:
        decode(data, int, 8, PeerFault)  # type: ignore[arg-type]
    except Exception as error:
        return error
    raise AssertionError("it did not fail")


def test_what_nobody_expected_says_where_it_arose_and_not_what_it_was_about() -> None:
    told = origin(failure(object()))
    assert told.startswith("TypeError at model/codec.py:")
    assert "object" not in told


def test_of_a_group_the_first_that_is_no_fault_counts() -> None:
    fault = LocalFault("disk-full", "the disk is full")
    group = ExceptionGroup("", [fault, ExceptionGroup("", [fault, ValueError("secret")])])
    assert origin(group) == "ValueError"
    assert origin(ExceptionGroup("", [fault])) == "LocalFault"
