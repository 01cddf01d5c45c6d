package account

import "context"

// Flush writes uses now.
func (a *Accounts) Flush(ctx context.Context) error { return a.writeUses(ctx) }
