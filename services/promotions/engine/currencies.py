"""How many decimals people write of each currency (ISO 4217)."""

from typing import Final

_NONE: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE: Final = "BHD IQD JOD KWD LYD OMR TND"
_DECIMALS: Final = dict.fromkeys(_NONE.split(), 0) | dict.fromkeys(_THREE.split(), 3)


def decimals_of(currency_code: str) -> int:
    """Return how many digits of an amount in minor units stand behind its point."""
    return _DECIMALS.get(currency_code, 2)
