"""Words that procedural tasks are made of: names of columns, of levels, of targets and of classes. No logic."""

from __future__ import annotations

NUMERIC = (
    "age", "income", "balance", "tenure", "visits", "price", "weight", "height", "pressure", "temperature",
    "humidity", "distance", "duration", "speed", "area", "rooms", "mileage", "voltage", "current", "power",
    "glucose", "heart_rate", "bmi", "cholesterol", "oxygen", "dose", "latency", "errors", "requests", "downloads",
    "orders", "returns", "discount", "margin", "salary", "bonus", "debt", "credit_limit", "payments", "calls",
    "messages", "rainfall", "wind", "depth", "density", "acidity", "sugar", "alcohol", "stock", "lead_time",
    "page_views", "sessions", "rating", "reviews", "noise_level", "thickness", "torque", "vibration", "load",
)  # fmt: skip
PREFIXES = ("avg", "max", "min", "last", "total", "monthly", "daily", "first", "net", "prior")

CATEGORICAL: dict[str, tuple[str, ...]] = {
    "region": ("north", "south", "east", "west", "centre", "coast", "islands", "highlands"),
    "plan": ("basic", "plus", "premium", "family", "student", "trial"),
    "channel": ("web", "phone", "store", "partner", "email", "app", "fair"),
    "device": ("laptop", "tablet", "mobile", "desktop", "kiosk"),
    "contract": ("monthly", "yearly", "two_years", "none_yet"),
    "payment": ("card", "transfer", "cash", "invoice", "wallet", "voucher"),
    "colour": ("red", "green", "blue", "black", "white", "silver", "yellow", "brown"),
    "material": ("steel", "wood", "glass", "plastic", "copper", "stone"),
    "grade": ("A", "B", "C", "D", "E", "F"),
    "size": ("S", "M", "L", "XL"),
    "shift": ("early", "late", "night"),
    "day": ("mon", "tue", "wed", "thu", "fri", "sat", "sun"),
    "season": ("spring", "summer", "autumn", "winter"),
    "job": ("clerk", "driver", "engineer", "farmer", "manager", "nurse", "retired", "teacher", "waiter"),
    "education": ("primary", "secondary", "bachelor", "master", "doctorate"),
    "housing": ("own", "rent", "parents", "social"),
    "fuel": ("petrol", "diesel", "electric", "hybrid", "gas"),
    "supplier": (
        "Acero",
        "Borlan",
        "Cindra",
        "Dorvik",
        "Elmox",
        "Fennel",
        "Garda",
        "Hirsch",
        "Ilvana",
        "Jutta",
        "Kestrel",
        "Lumen",
    ),
    "smoker": ("no", "yes"),
    "member": ("no", "yes"),
}

BINARY_TARGETS: dict[str, tuple[str, str]] = {
    "churned": ("no", "yes"),
    "approved": ("no", "yes"),
    "defect": ("0", "1"),
    "outcome": ("healthy", "ill"),
    "fraud": ("False", "True"),
    "class": ("bad", "good"),
    "readmitted": ("no", "yes"),
    "will_buy": ("0", "1"),
}
MULTICLASS_TARGETS: dict[str, tuple[str, ...]] = {
    "risk": ("high", "low", "medium", "severe", "very_low"),
    "species": ("alba", "cornuta", "dentata", "magna", "nigra"),
    "quality": ("1", "2", "3", "4", "5"),
    "team": ("blue", "green", "orange", "red", "violet"),
    "fault": ("belt", "motor", "none", "sensor", "valve"),
}
REGRESSION_TARGETS = (
    "cost",
    "yield",
    "demand",
    "sale_price",
    "energy_use",
    "delivery_days",
    "strength",
    "lifetime",
    "revenue",
    "claims",
)
