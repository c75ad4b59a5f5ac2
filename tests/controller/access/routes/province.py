"""The pages over many annexes and devices."""

LOWEST = {
    ("GET", "/wall"): "staff",
    ("GET", "/devices"): "staff",
}
