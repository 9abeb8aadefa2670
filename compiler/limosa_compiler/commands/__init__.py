"""The compiler's commands, named so that none of them is imported before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

COMMANDS: Final[Mapping[str, str]] = {
    "build": "limosa_compiler.commands.build:build",
    "init": "limosa_compiler.commands.init:init",
    "inspect": "limosa_compiler.commands.inspect:inspect",
    "diff": "limosa_compiler.commands.diff:diff",
    "delta": "limosa_compiler.commands.delta:delta",
    "verify": "limosa_compiler.commands.verify:verify",
    "target": "limosa_compiler.commands.target:target",
    "toolchain": "limosa_compiler.commands.toolchain:toolchain",
    "keys": "limosa_compiler.commands.keys:keys",
    "permit": "limosa_compiler.commands.permit:permit",
    "publish": "limosa_compiler.commands.publish:publish",
}
"""First word of a command -> "module:attribute"."""
