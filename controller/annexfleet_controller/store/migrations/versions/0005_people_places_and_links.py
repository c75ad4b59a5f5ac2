"""People, places, and the links between them"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "district",
        sa.Column("id", sa.String(length=63), nullable=False),
        sa.Column("name_fr", sa.String(length=200), nullable=False),
        sa.Column("name_ar", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_district")),
    )
    op.create_table(
        "printer_label",
        sa.Column("printer_id", sa.String(length=24), nullable=False),
        sa.Column("annex_id", sa.String(length=63), nullable=False),
        sa.Column("code", sa.String(length=16), nullable=False),
        sa.Column("place", sa.String(length=80), server_default="", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("printer_id", name=op.f("pk_printer_label")),
        sa.UniqueConstraint("code", name=op.f("uq_printer_label_code")),
    )
    op.create_index(op.f("ix_printer_label_annex_id"), "printer_label", ["annex_id"], unique=False)

    op.create_table(
        "report_month",
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("area", sa.String(length=63), nullable=False),
        sa.Column("as_of", sa.BigInteger(), nullable=False),
        sa.Column("settled", sa.Boolean(), nullable=False),
        sa.Column("open_s", sa.Float(), nullable=False),
        sa.Column("serving_s", sa.Float(), nullable=False),
        sa.Column("blocked_s", sa.Float(), nullable=False),
        sa.Column("unknown_s", sa.Float(), nullable=False),
        sa.Column("maintenance_s", sa.Float(), nullable=False),
        sa.Column("served_ratio", sa.Float(), nullable=True),
        sa.Column("incidents", sa.Integer(), nullable=False),
        sa.Column("incidents_s", sa.Float(), nullable=False),
        sa.Column("pages", sa.BigInteger(), nullable=True),
        sa.Column("jams", sa.Integer(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("month", "area", name=op.f("pk_report_month")),
    )
    op.create_table(
        "undo_step",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("act", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=120), nullable=False),
        sa.Column("annex_id", sa.String(length=63), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("undone_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_undo_step")),
    )
    op.create_index(op.f("ix_undo_step_at"), "undo_step", ["at"], unique=False)

    op.create_table(
        "board_link",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("annex_id", sa.String(length=63), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=80), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=80), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["annex_id"], ["annex.id"], name=op.f("fk_board_link_annex_id_annex")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_board_link")),
        sa.UniqueConstraint("digest", name=op.f("uq_board_link_digest")),
    )
    op.create_index(op.f("ix_board_link_annex_id"), "board_link", ["annex_id"], unique=False)

    op.create_table(
        "recovery_code",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name=op.f("fk_recovery_code_user_id_user_account")),
        sa.PrimaryKeyConstraint("user_id", "digest", name=op.f("pk_recovery_code")),
    )
    op.create_table(
        "saved_filter",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("page", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("query", sa.String(length=500), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name=op.f("fk_saved_filter_user_id_user_account")),
        sa.PrimaryKeyConstraint("user_id", "page", "name", name=op.f("pk_saved_filter")),
    )
    op.create_table(
        "api_key_annex",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("annex_id", sa.String(length=63), nullable=False),
        sa.ForeignKeyConstraint(["annex_id"], ["annex.id"], name=op.f("fk_api_key_annex_annex_id_annex")),
        sa.ForeignKeyConstraint(
            ["digest"], ["api_key.digest"], name=op.f("fk_api_key_annex_digest_api_key"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("digest", "annex_id", name=op.f("pk_api_key_annex")),
    )
    op.create_table(
        "desired_drift",
        sa.Column("device_number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("annex_id", sa.String(length=63), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("standing", sa.String(length=8), nullable=False),
        sa.Column("differing", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("compared_at", sa.BigInteger(), nullable=False),
        sa.Column("basis", sa.String(length=200), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["device_number"], ["device.number"], name=op.f("fk_desired_drift_device_number_device")
        ),
        sa.PrimaryKeyConstraint("device_number", name=op.f("pk_desired_drift")),
    )
    op.create_index("ix_desired_drift_standing", "desired_drift", ["standing"], unique=False)

    op.add_column("annex", sa.Column("district_id", sa.String(length=63), server_default="", nullable=False))
    op.add_column("annex", sa.Column("note", sa.String(length=500), server_default="", nullable=False))
    op.add_column("annex", sa.Column("retired_at", sa.BigInteger(), nullable=True))
    op.add_column("annex", sa.Column("version", sa.Integer(), server_default="1", nullable=False))

    op.add_column("api_key", sa.Column("role", sa.String(length=16), server_default="", nullable=False))
    op.add_column("api_key", sa.Column("reads_only", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("api_key", sa.Column("used_at", sa.BigInteger(), nullable=True))

    op.add_column("contact", sa.Column("version", sa.Integer(), server_default="1", nullable=False))

    op.add_column("device", sa.Column("place", sa.String(length=80), server_default="", nullable=False))
    op.add_column("device", sa.Column("retired_at", sa.BigInteger(), nullable=True))
    op.add_column("device", sa.Column("replaced_by", sa.Integer(), nullable=True))
    op.add_column("device", sa.Column("version", sa.Integer(), server_default="1", nullable=False))

    op.add_column("user_account", sa.Column("full_name", sa.String(length=120), server_default="", nullable=False))
    op.add_column("user_account", sa.Column("email", sa.String(length=254), server_default="", nullable=False))
    op.add_column("user_account", sa.Column("totp_sealed", sa.LargeBinary(), nullable=True))
    op.add_column("user_account", sa.Column("totp_confirmed_at", sa.BigInteger(), nullable=True))
    op.add_column("user_account", sa.Column("totp_last_step", sa.Integer(), server_default="0", nullable=False))
    op.add_column("user_account", sa.Column("version", sa.Integer(), server_default="1", nullable=False))

    op.add_column("web_session", sa.Column("address", sa.String(length=64), server_default="", nullable=False))
    op.add_column("web_session", sa.Column("client", sa.String(length=200), server_default="", nullable=False))
    op.add_column("web_session", sa.Column("awaits_code", sa.Boolean(), server_default=sa.false(), nullable=False))

    op.create_table(
        "annex_now",
        sa.Column("annex_id", sa.String(length=63), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("is_open", sa.Boolean(), server_default=sa.false(), nullable=False),
        *(
            sa.Column(name, sa.Integer(), nullable=False)
            for name in ("online", "silent", "never", "printers", "troubled", "ready", "degraded", "blocked", "unknown")
        ),
        sa.Column("waiting", sa.Float(), nullable=True),
        sa.Column("longest_wait_s", sa.Float(), nullable=True),
        sa.Column("is_stale", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.ForeignKeyConstraint(["annex_id"], ["annex.id"], name=op.f("fk_annex_now_annex_id_annex")),
        sa.PrimaryKeyConstraint("annex_id", name=op.f("pk_annex_now")),
    )
    op.create_table(
        "place_past",
        sa.Column("place", sa.String(length=63), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("ready", "degraded", "blocked", "unknown")),
        sa.Column("waiting", sa.Float(), nullable=True),
        sa.Column("incidents", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("place", "at", name=op.f("pk_place_past")),
    )
    op.create_index(op.f("ix_place_past_at"), "place_past", ["at"], unique=False)
    op.create_index(op.f("ix_incident_resolved_at"), "incident", ["resolved_at"], unique=False)
    op.add_column("rollout", sa.Column("held", sa.Text(), server_default="{}", nullable=False))
