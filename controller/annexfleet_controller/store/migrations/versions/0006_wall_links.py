"""Links to wall screens, beside those to boards; printers of which nobody can tell"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    with op.batch_alter_table("board_link") as board_link:
        board_link.alter_column("annex_id", existing_type=sa.String(length=63), nullable=True)
        board_link.add_column(sa.Column("district_id", sa.String(length=63), server_default="", nullable=False))
    op.add_column("annex_now", sa.Column("unseen", sa.Integer(), server_default="0", nullable=False))
