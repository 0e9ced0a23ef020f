"""The access control point: who may connect, sign on and send what. Decisions are pure and in memory."""
