"""Prints what the installed prefect package says of the block types a Pavlov server starts with.

usage: python3 compare_block_types.py      (prints one JSON object: slug -> facts, as a client computes them)
"""

import json
import sys

from prefect.blocks import notifications
from prefect.blocks.system import Secret
from prefect.blocks.webhook import Webhook
from prefect.filesystems import LocalFileSystem

PROTECTED = [Webhook, Secret, LocalFileSystem]


def concrete(block):
    """All types below `block` that are defined beside it and are no base of another."""
    below = block.__subclasses__()
    return [block] if not below else [leaf for child in below for leaf in concrete(child)]


def facts(block):
    described = block._to_block_type()
    return {
        "name": described.name,
        "is_protected": block in PROTECTED,
        "logo_url": str(described.logo_url),
        "documentation_url": str(described.documentation_url),
        "description": described.description,
        "fields": block.model_json_schema(),
        "secret_fields": block.model_json_schema()["secret_fields"],
        "capabilities": sorted(block.get_block_capabilities()),
        "checksum": block._calculate_schema_checksum(),
    }


def main():
    notifying = [block for block in concrete(notifications.NotificationBlock) if block.__module__ == notifications.__name__]
    blocks = PROTECTED + notifying
    json.dump({block.get_block_type_slug(): facts(block) for block in blocks}, sys.stdout)


if __name__ == "__main__":
    main()
