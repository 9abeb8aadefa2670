from __future__ import annotations

from limosa_agent.chance import between, drawn_bits, share


def test_what_is_drawn_lies_where_it_should_and_everywhere_there() -> None:
    shares = [share() for _ in range(2000)]
    assert all(0 <= one < 1 for one in shares)
    assert {int(8 * one) for one in shares} == set(range(8))
    assert all(0.5 <= between(0.5, 1.5) < 1.5 for _ in range(200))
    assert {drawn_bits(3) for _ in range(2000)} == set(range(8))
    assert max(drawn_bits(62) for _ in range(200)).bit_length() > 50
