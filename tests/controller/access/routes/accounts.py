"""Signing in, one's own account, people and keys."""

from tests.controller.site import PASSWORD

OPEN = {
    ("GET", "/sign-in"),
    ("POST", "/sign-in"),
    ("GET", "/sign-in/code"),
    ("POST", "/sign-in/code"),
    ("POST", "/language"),
}

IN_PERSON = {
    ("POST", "/admin/people/{user_id}/enable"): "admin",
    ("POST", "/admin/people/{user_id}/reset"): "admin",
    ("POST", "/admin/people/{user_id}/reset-factor"): "admin",
    ("POST", "/api/v1/users/{user_name}/enable"): "admin",
    ("POST", "/api/v1/users/{user_name}/reset"): "admin",
    ("POST", "/api/v1/users/{user_name}/reset-factor"): "admin",
}
BY_SESSION_ONLY = IN_PERSON | {
    ("GET", "/account"): "staff",
    ("GET", "/account/factor"): "staff",
    ("POST", "/account/factor"): "staff",
    ("POST", "/account/factor/confirm"): "staff",
    ("POST", "/account/factor/codes"): "staff",
    ("POST", "/account/factor/off"): "staff",
    ("POST", "/account/sessions/end-others"): "staff",
    ("POST", "/account/sessions/{session_id}/end"): "staff",
    ("GET", "/password"): "staff",
    ("POST", "/password"): "staff",
    ("POST", "/sign-out"): "staff",
    ("POST", "/account/keys"): "staff",
    ("POST", "/api/v1/keys"): "staff",
}
"""Refused to keys of programs, whatever they may."""
OF_ITSELF_ALONE = {("POST", "/account/keys/{key_id}/revoke"), ("DELETE", "/api/v1/keys/{key_id}")}
"""Refused to keys that may not manage people, unless they name themselves."""

LOWEST = BY_SESSION_ONLY | {
    ("GET", "/account/keys/new"): "staff",
    ("GET", "/account/notices"): "staff",
    ("POST", "/account/keys/{key_id}/revoke"): "staff",
    ("GET", "/api/v1/keys"): "staff",
    ("DELETE", "/api/v1/keys/{key_id}"): "staff",
}
PEOPLE = {
    ("GET", "/admin/people"): "admin",
    ("GET", "/admin/people/new"): "admin",
    ("POST", "/admin/people"): "admin",
    ("GET", "/admin/people/{user_id}"): "admin",
    ("POST", "/admin/people/{user_id}"): "admin",
    ("GET", "/admin/people/{user_id}/disable"): "admin",
    ("POST", "/admin/people/{user_id}/disable"): "admin",
    ("POST", "/admin/people/{user_id}/end-sessions"): "admin",
    ("GET", "/admin/keys"): "admin",
    ("POST", "/admin/keys/{key_id}/revoke"): "admin",
    ("GET", "/api/v1/users"): "admin",
    ("POST", "/api/v1/users"): "admin",
    ("GET", "/api/v1/users/{user_name}"): "admin",
    ("PATCH", "/api/v1/users/{user_name}"): "admin",
    ("POST", "/api/v1/users/{user_name}/disable"): "admin",
    ("POST", "/api/v1/users/{user_name}/end-sessions"): "admin",
} | IN_PERSON
LOWEST |= PEOPLE
WHOLE_PROVINCE_ONLY = set(PEOPLE)

BODIES = {
    ("POST", "/password"): {"data": {"old": "x", "new": "y", "again": "z"}},
    ("POST", "/account/factor"): {"data": {"password": "x"}},
    ("POST", "/account/factor/confirm"): {"data": {"code": "x"}},
    ("POST", "/account/factor/codes"): {"data": {"password": "x", "code": "x"}},
    ("POST", "/account/factor/off"): {"data": {"password": "x", "code": "x"}},
    ("POST", "/account/keys"): {
        "data": {"name": "x", "role": "staff", "days": "9", "reach": "province", "password": PASSWORD}
    },
    ("POST", "/api/v1/keys"): {"json": {"name": "x", "password": PASSWORD}},
    ("POST", "/admin/people"): {"data": {"name": "newcomer", "role": "staff", "reach": "province"}},
    ("POST", "/api/v1/users"): {"json": {"name": "another", "role": "staff", "annexes": None}},
    ("POST", "/admin/people/{user_id}"): {"data": {"role": "staff", "reach": "province", "version": "1"}},
    ("PATCH", "/api/v1/users/{user_name}"): {"json": {"full_name": "x", "version": 1}},
}
NAMES = {"key_id": "nothing", "session_id": "nothing", "user_id": "77777", "user_name": "nobody-of-this-name"}
NOTHING_THERE = {route for route in LOWEST if any(f"{{{name}}}" in route[1] for name in NAMES)}
ANSWERS = {
    ("POST", "/password"): {422},
    ("POST", "/account/factor"): {422},
    ("POST", "/account/factor/confirm"): {422},
    ("POST", "/account/factor/codes"): {422},
    ("POST", "/account/factor/off"): {422},
}
