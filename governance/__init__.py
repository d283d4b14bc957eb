"""WHAT IS ALLOWED: policies, checks, reviews, decisions, promotions. Judgements about the facts of registry."""
