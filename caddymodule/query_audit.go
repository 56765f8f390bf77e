package caddymodule

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

// auditCursor is how the keys of entries are made.
var auditCursor = regexp.MustCompile(`^[0-9a-f]{16}-[0-9a-f]{8}$`)

const (
	metaAudit      = "audit/"
	maxAudit       = 1000 // entries kept
	maxAuditDetail = 1000 // bytes
)

// auditEntry is one change that an operator made.
type auditEntry struct {
	At     time.Time `json:"at"`
	Actor  string    `json:"actor"`  // the peer's address, or the name in its client certificate
	Action string    `json:"action"` // pause, resume, cancel, replay, cancel_replay, resend, reveal, release, discard, test_source, test_destination, backup
	Target string    `json:"target"`
	Detail string    `json:"detail,omitempty"`
}

// auditing keeps two prunings from running at a time.
var auditing sync.Mutex

// audit records a change that was made. The change stands even if it cannot be recorded: then the log says so.
func (g *gateway) audit(ctx context.Context, action, target, detail string) {
	entry := auditEntry{At: now().UTC(), Actor: g.actor, Action: action, Target: target, Detail: truncate(detail, maxAuditDetail)}
	g.rt.logger.Info("operator changed something",
		zap.String("action", action), zap.String("target", target), zap.String("detail", entry.Detail), zap.String("actor", g.actor))
	// whoever asked may be gone already; that must not lose the record
	if err := g.record(context.WithoutCancel(ctx), entry); err != nil {
		g.rt.logger.Error("change was not recorded in the audit log", zap.String("action", action), zap.Error(err))
	}
}

func (g *gateway) record(ctx context.Context, entry auditEntry) error {
	value, err := json.Marshal(entry)
	if err != nil {
		return err
	}
	var unique [4]byte
	if _, err := rand.Read(unique[:]); err != nil {
		return err
	}
	auditing.Lock()
	defer auditing.Unlock()
	// hexadecimal of a fixed length sorts by time
	if err := g.meta.PutMeta(ctx, fmt.Sprintf("%s%016x-%s", metaAudit, entry.At.UnixMicro(), hex.EncodeToString(unique[:])), value); err != nil {
		return err
	}
	return pruneAudit(ctx, g.meta)
}

// pruneAudit removes the oldest entries beyond the limit.
func pruneAudit(ctx context.Context, meta queue.Metadata) error {
	var keys []string
	err := meta.ListMeta(ctx, metaAudit, "", func(key string, _ []byte) bool {
		keys = append(keys, key)
		return true
	})
	if err != nil {
		return err
	}
	for _, key := range keys[:max(0, len(keys)-maxAudit)] {
		if err := meta.PutMeta(ctx, key, nil); err != nil {
			return err
		}
	}
	return nil
}

// auditPage is the newest changes, newest first.
type auditPage struct {
	Entries []auditEntry `json:"entries"`
	Next    string       `json:"next,omitempty"` // cursor of the next page; absent at the end
}

// Audit lists changes, newest first, from the cursor on.
func (g *gateway) Audit(ctx context.Context, cursor string, limit int) (auditPage, error) {
	if limit == 0 {
		limit = defaultPageSize
	}
	type row struct {
		key   string
		value []byte
	}
	var rows []row
	err := g.meta.ListMeta(ctx, metaAudit, "", func(key string, value []byte) bool {
		if cursor == "" || key < metaAudit+cursor {
			rows = append(rows, row{key, slices.Clone(value)})
		}
		return true
	})
	if err != nil {
		return auditPage{}, fmt.Errorf("audit log: %w", err)
	}
	slices.Reverse(rows)
	page := auditPage{Entries: []auditEntry{}}
	for i, r := range rows {
		if i == limit {
			page.Next = rows[i-1].key[len(metaAudit):]
			break
		}
		var entry auditEntry
		if err := json.Unmarshal(r.value, &entry); err != nil {
			return auditPage{}, fmt.Errorf("audit log: entry %s: %w", r.key, err)
		}
		page.Entries = append(page.Entries, entry)
	}
	return page, nil
}
