"""The paper's Appendix A: messages per label and language of the AliExpress data."""

from __future__ import annotations

LABELS: tuple[str, ...] = (
    "route_ae_nr", "route_ae_others", "route_ae_chitchat", "route_ae_refund", "route_ae_payment",
    "route_ae_manageorder", "route_ae_livechat", "route_ae_disputestatus", "route_ae_orderclose",
    "route_ae_searchcontact", "route_ae_pv", "route_ae_snad", "route_ae_abnormalaccount",
    "route_ae_complain", "route_ae_disputeoperate", "route_ae_manageaccount", "route_ae_coupon",
    "route_ae_intro", "route_ae_appeal", "route_ae_abnormalrefund",
)
"""The 20 labels, in the order of Appendix A."""
COUNTS: dict[str, tuple[int, ...]] = {
    # Appendix A, as printed: messages per label, in the order of LABELS.
    "ar": (13379, 8308, 6056, 4611, 3516, 2295, 2229, 2083, 1860, 1737,
           1657, 1598, 1499, 1495, 1426, 1420, 1380, 1309, 1264, 1245),
    "en": (2696, 0, 353, 3547, 2428, 1681, 788, 1788, 1517, 1973,
           932, 1389, 1389, 451, 958, 827, 1359, 607, 1095, 191),
    "es": (4571, 28, 752, 4567, 3755, 1755, 1496, 2472, 2368, 1405,
           608, 1154, 797, 442, 415, 725, 994, 244, 650, 87),
    "fr": (2711, 11589, 6256, 2310, 1293, 837, 18, 579, 545, 775,
           48, 1240, 313, 667, 547, 135, 340, 8, 470, 4),
    "ru": (2091, 1372, 629, 1760, 4652, 2185, 1126, 1229, 1030, 2494,
           1090, 644, 1309, 555, 621, 641, 2432, 340, 420, 379),
    # The paper onboards these later and prints no counts, so these columns are ours. Each is a
    # little larger than the paper's smallest and skewed in its own way: ko to coupons, payment and
    # verification; pl to disputes, without any `others`; pt to parcels and refunds.
    "ko": (2400, 940, 1400, 2000, 3800, 1720, 960, 800, 1200, 1040,
           2160, 860, 1280, 540, 660, 1120, 4600, 760, 420, 480),
    "pl": (4000, 0, 440, 2900, 1880, 1280, 940, 3400, 920, 1440,
           600, 2500, 700, 1440, 2800, 600, 1120, 300, 1280, 800),
    "pt": (6400, 580, 940, 5000, 2800, 1360, 1600, 1360, 1840, 1200,
           500, 1080, 740, 820, 600, 640, 960, 200, 440, 940),
}
LANGUAGES: tuple[str, ...] = tuple(COUNTS)
"""The languages of the demonstration data, ISO 639-1: the paper's five, then three newcomers."""
