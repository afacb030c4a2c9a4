"""Agents that must find what nobody showed them: environments, replay, bonuses, returns, and one readable file per agent."""
