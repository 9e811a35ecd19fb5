"""Let Snakemake's plugin of Kubernetes work on a volume that all pods share.

The plugin (0.5.1) mounts persistent volumes, but says that its jobs never share a file system, and
Snakemake then takes no other word for it: it asks for a storage provider that copies each file to
an object store and back. Receipts, locks and stores need a file system.
"""

from __future__ import annotations

import sys

PLUGIN = "snakemake_executor_plugin_kubernetes"


def share_volumes() -> None:
    """Let what `shared-fs-usage` says hold, where jobs are pods."""
    plugin = sys.modules.get(PLUGIN)
    if plugin is None:
        return
    settings = plugin.common_settings
    settings.implies_no_shared_fs = False
    # The volume holds them.
    settings.job_deploy_sources = False
    settings.auto_deploy_default_storage_provider = False
