"""How TaskQ touches Kubernetes: the session, the informers, the lease. Nothing above knows HTTP."""
