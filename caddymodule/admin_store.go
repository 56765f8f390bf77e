package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/sluice-webhooks/sluice/queue/badgerstore"
	"github.com/sluice-webhooks/sluice/queue/reopen"
)

// keptStore is a store that can be checked and backed up while it is open.
type keptStore interface {
	Check(ctx context.Context) (*badgerstore.Report, error)
	Backup(ctx context.Context, w io.Writer) (badgerstore.BackupInfo, error)
}

// errStoreBusy means that somebody else reads the whole store already.
var errStoreBusy = errors.New("the store is being checked or backed up already: wait for that to end")

// readingStore holds an element while the whole store is being read: one reader at a time leaves the disk to the events.
var readingStore = make(chan struct{}, 1)

// wholeStore calls fn with the open store, unless somebody else reads all of it.
func (g *gateway) wholeStore(fn func(keptStore) error) error {
	inner := g.rt.store.Unwrap()
	if inner == nil {
		return g.rt.store.Reopening()
	}
	store, ok := inner.(keptStore)
	if !ok {
		return reopen.ErrUnsupported
	}
	select {
	case readingStore <- struct{}{}:
	default:
		return errStoreBusy
	}
	defer func() { <-readingStore }()
	return fn(store)
}

// CheckStore reads every row and every payload of the store.
func (g *gateway) CheckStore(ctx context.Context) (report *badgerstore.Report, err error) {
	err = g.wholeStore(func(s keptStore) error {
		report, err = s.Check(ctx)
		return err
	})
	return report, err
}

// BackupStore writes a backup of the store.
func (g *gateway) BackupStore(ctx context.Context, w io.Writer) error {
	return g.wholeStore(func(s keptStore) error {
		g.audit(ctx, "backup", "store", "")
		_, err := s.Backup(ctx, w)
		return err
	})
}

func getStoreCheck(w http.ResponseWriter, r *http.Request, g *gateway) error {
	if err := newParams(r.URL).done(); err != nil {
		return err
	}
	report, err := g.CheckStore(r.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, report)
}

func getStoreBackup(w http.ResponseWriter, r *http.Request, g *gateway) error {
	if err := newParams(r.URL).done(); err != nil {
		return err
	}
	if r.Method == http.MethodHead {
		return fmt.Errorf("%w: a backup is read with GET", errBadQuery)
	}
	body := &backupBody{w: newPatientWriter(w, g.app.ctx)}
	err := g.BackupStore(r.Context(), body)
	if err != nil && body.begun {
		// The answer cannot be taken back. Without its last part no program takes it for a backup, and cutting the connection says so at once.
		g.rt.logger.Error("backup was not completed")
		panic(http.ErrAbortHandler)
	}
	return err
}

// backupBody begins the answer with the first byte of the backup, so that a failure before that is a proper answer.
type backupBody struct {
	w     *patientWriter
	begun bool
}

func (b *backupBody) Write(p []byte) (int, error) {
	if !b.begun {
		b.begun = true
		h := b.w.w.Header()
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Content-Disposition", `attachment; filename="webhooks.backup"`)
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
	}
	return b.w.Write(p)
}
