"""Trains, calibrates and exports the models of escalation. The package `escalation` never imports this one."""
