package caddymodule

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-webhooks/sluice/queue"
)

const (
	maxImportBody  = 64 << 20       // of one call; a longer import is made of several
	importPatience = time.Minute    // for how long a client may send nothing
	nextHeader     = "Webhook-Next" // cursor of the page after this one
)

// getExport sends events as lines. With a limit it is one page, and a header has the cursor of the next; without, it is all of them. One that breaks off, at a reload for
// example, ends without the end of its transfer encoding, so that no client takes it for whole.
func getExport(w http.ResponseWriter, r *http.Request, g *gateway) error {
	p := newParams(r.URL)
	filter, compact, onePage := p.filter(), p.boolean("compact"), p.values.Has("limit")
	if !onePage {
		filter.Limit = exportBatch
	}
	if err := p.done(); err != nil {
		return err
	}
	if r.Method == http.MethodHead { // it would be made and recorded for nothing
		return fmt.Errorf("%w: an export is read with GET", errBadQuery)
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(g.app.ctx, cancel)()
	out := &exportWriter{w: w, Writer: bufio.NewWriterSize(newPatientWriter(w, g.app.ctx), 64<<10)}
	err := g.Export(ctx, filter, compact, onePage, out, func(cursor string) { out.begin(cursor, onePage) })
	if err == nil {
		err = out.Flush()
	}
	if err != nil && out.begun {
		if !errors.Is(err, context.Canceled) {
			g.app.logger.Error("export broke off", zap.Error(err))
		}
		panic(http.ErrAbortHandler)
	}
	return g.leaving(err)
}

// leaving explains an error of a call that was broken off because its configuration is on its way out: the next one answers it.
func (g *gateway) leaving(err error) error {
	if err != nil && g.app.ctx.Err() != nil {
		return fmt.Errorf("%w: a reload has begun, try again", queue.ErrClosed)
	}
	return err
}

// exportWriter sends the head of the answer when the first page is there.
type exportWriter struct {
	*bufio.Writer
	w     http.ResponseWriter
	begun bool
}

func (x *exportWriter) begin(cursor string, onePage bool) {
	if x.begun {
		return
	}
	x.begun = true
	h := x.w.Header()
	h.Set("Content-Type", linesType)
	h.Set("Content-Disposition", "attachment")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if onePage && cursor != "" {
		h.Set(nextHeader, cursor)
	}
	x.w.WriteHeader(http.StatusOK)
}

// postImport stores the events of lines.
func postImport(w http.ResponseWriter, r *http.Request, g *gateway) error {
	p := newParams(r.URL)
	order := importOrder{Source: p.text("source"), DryRun: p.boolean("dry_run")}
	deliver, err := parseDeliver(p.text("deliver"))
	if err != nil {
		return err
	}
	if err := p.done(); err != nil {
		return err
	}
	order.Deliver = deliver
	body := &patientReader{r: r.Body, control: http.NewResponseController(w)}
	view, err := g.Import(r.Context(), order, body)
	if err != nil {
		_, _ = io.Copy(io.Discard, body) // a client that is still writing would not read the answer
		return err
	}
	return writeJSON(w, http.StatusOK, view)
}

// patientReader lets a body take as long as it comes at all: the admin server's own limit is for the small bodies of other calls.
type patientReader struct {
	r       io.Reader
	control *http.ResponseController
}

func (p *patientReader) Read(b []byte) (int, error) {
	if err := p.control.SetReadDeadline(now().Add(importPatience)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return p.r.Read(b)
}
