"""GIM: macro- and micro-expressions spotted in face videos, learned from one labelled frame each."""
