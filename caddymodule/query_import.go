package caddymodule

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tidwall/sjson"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/verifiers"
)

// Bounds of an import.
const (
	maxImportLine   = 24 << 20 // bytes of one event in base64
	importBatch     = 100      // events of one commit
	importBatchSize = 4 << 20  // bytes of one commit
	maxImportTold   = 100      // lines whose refusal is told
)

// What becomes of the deliveries of imported events.
const (
	deliverUndelivered = "undelivered" // those that were not settled when it was exported
	deliverAll         = "all"         // as if it arrived now
	deliverNone        = "none"        // history only
)

// importOrder says how events are imported.
type importOrder struct {
	Source  string // in place of the one in the line
	Deliver string
	DryRun  bool
}

// importView says what became of the lines of an import.
type importView struct {
	Lines      int             `json:"lines"`
	Stored     int             `json:"stored"`
	Duplicates int             `json:"duplicates"` // were there already, within the dedup window of their source
	Refused    int             `json:"refused"`
	Valid      int             `json:"valid"`    // could be stored; of a dry run, which does not know what is a duplicate
	Problems   []importProblem `json:"problems"` // of the first refused lines
	DryRun     bool            `json:"dry_run,omitempty"`
}

type importProblem struct {
	Line   int    `json:"line"` // from 1
	ID     string `json:"id,omitempty"`
	Reason string `json:"reason"`
}

// importer stores events that are read.
type importer struct {
	g     *gateway
	order importOrder
	view  importView
	batch []queue.NewEvent
	size  int
}

// Import stores the events of lines, through the dedup of their sources. Lines that cannot be stored are counted, and the others stored. After an error, what the
// view counts is stored; the same lines once more are duplicates then.
func (g *gateway) Import(ctx context.Context, order importOrder, lines io.Reader) (importView, error) {
	im := &importer{g: g, order: order, view: importView{Problems: []importProblem{}, DryRun: order.DryRun}}
	err := im.read(ctx, bufio.NewReaderSize(lines, 64<<10))
	if err == nil {
		err = im.flush(ctx)
	}
	if !order.DryRun && im.view.Stored > 0 {
		g.audit(ctx, "import", order.Source, fmt.Sprintf("%d stored, %d duplicates, %d refused, deliver %s", im.view.Stored, im.view.Duplicates, im.view.Refused, order.Deliver))
	}
	if err != nil {
		return im.view, fmt.Errorf("after %d lines, of which %d were stored and %d were duplicates: %w", im.view.Lines, im.view.Stored, im.view.Duplicates, err)
	}
	return im.view, nil
}

func (im *importer) read(ctx context.Context, r *bufio.Reader) error {
	for {
		line, err := readLine(r, maxImportLine)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		im.view.Lines++
		if len(bytes.TrimSpace(line)) == 0 {
			im.view.Lines--
			continue
		}
		if err := im.add(ctx, line); err != nil {
			return err
		}
		if len(im.batch) >= importBatch || im.size >= importBatchSize {
			if err := im.flush(ctx); err != nil {
				return err
			}
		}
	}
}

// readLine reads up to a newline, or to the end of what does not end with one. io.EOF if nothing is left.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > limit:
			return nil, fmt.Errorf("%w: a line is longer than %d bytes", errBadQuery, limit)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(line) > 0:
			return line, nil
		case err != nil:
			return nil, err
		}
		return line, nil
	}
}

// add turns a line into an event of the next commit.
func (im *importer) add(ctx context.Context, line []byte) error {
	a, payload, err := parseArchived(line)
	var e queue.NewEvent
	if err == nil {
		e, err = im.newEvent(ctx, &a, payload)
	}
	if errors.Is(err, errArchive) {
		im.view.Refused++
		if len(im.view.Problems) < maxImportTold {
			im.view.Problems = append(im.view.Problems, importProblem{Line: im.view.Lines, ID: truncate(a.ID, 100), Reason: err.Error()})
		}
		return nil
	}
	if err != nil {
		return err
	}
	im.view.Valid++
	if im.order.DryRun {
		return nil
	}
	im.batch, im.size = append(im.batch, e), im.size+len(line)
	return nil
}

func (im *importer) newEvent(ctx context.Context, a *archivedEvent, payload []byte) (e queue.NewEvent, err error) {
	name := im.order.Source
	if name == "" {
		name = a.sourceName()
	}
	if name == "" {
		return e, fmt.Errorf("%w: source %q is not one of a gateway; say which one takes it", errArchive, truncate(a.Source, 100))
	}
	h := im.g.app.source(name)
	if name == alertSource && im.order.Source == "" {
		return im.newAlert(ctx, a, payload)
	}
	if h == nil {
		return e, fmt.Errorf("%w: source %q is not configured; configure it, or say which one takes its events", errArchive, truncate(name, 64))
	}
	if int64(len(payload)) > h.rules.maxBody {
		return e, fmt.Errorf("%w: payload of %d bytes is larger than the source takes", errArchive, len(payload))
	}
	if e.Event, err = a.event(payload, name, h.provider.Spec().ID, now()); err != nil {
		return e, err
	}
	h.claimAgain(&e)
	im.addDeliveries(ctx, h, &e, a)
	return e, nil
}

// newAlert makes an event of a message of an alert of a gateway: it has no source that could be configured.
func (im *importer) newAlert(ctx context.Context, a *archivedEvent, payload []byte) (e queue.NewEvent, err error) {
	if e.Event, err = a.event(payload, alertSource, alertProvider, now()); err != nil {
		return e, err
	}
	e.DedupKey, e.DedupWindow = e.EventID, alertWindow
	im.addDeliveries(ctx, new(Handler), &e, a)
	return e, nil
}

// claimAgain gives an event from elsewhere the claim that it would have had if it had arrived as a request.
func (h *Handler) claimAgain(e *queue.NewEvent) {
	req := storedRequest(&e.Event)
	id := verifiers.Identity{EventID: e.EventID, DedupKey: e.EventID}
	for _, candidate := range h.identities(req) {
		if candidate.EventID == e.EventID {
			id = candidate
			if id.Type == "" && e.Type == e.Provider {
				e.Type = "" // the attribute of a CloudEvent must not be empty, and had the provider's name in its place
			}
		}
	}
	h.claimKey(e, req, id)
}

// identities names a stored event by its own bytes, taken for a whole request and for one element of a batch.
func (h *Handler) identities(req *verifiers.Request) []verifiers.Identity {
	ids, err := h.provider.Identify(req, false)
	if err != nil {
		ids = nil // an element of a batch need not be readable as a request
	}
	batch := h.provider.Spec().Batch
	if !h.rules.split || batch == nil || batch.From != "" {
		return ids
	}
	whole := *req
	if batch.Elements == "@this" {
		whole.Body = slices.Concat([]byte("["), req.Body, []byte("]"))
	} else if whole.Body, err = sjson.SetRawBytes([]byte("{}"), batch.Elements, slices.Concat([]byte("["), req.Body, []byte("]"))); err != nil {
		return ids
	}
	elements, err := h.provider.Identify(&whole, true)
	if err != nil {
		return ids
	}
	return append(ids, elements...)
}

func (im *importer) addDeliveries(ctx context.Context, h *Handler, e *queue.NewEvent, a *archivedEvent) {
	switch im.order.Deliver {
	case deliverAll:
		budget := &conditionBudget{of: ctx}
		defer budget.end()
		h.route(e, budget)
	case deliverUndelivered:
		for _, name := range strings.Fields(a.Undelivered) {
			if slices.ContainsFunc(e.Deliveries, func(d queue.NewDelivery) bool { return d.Destination == name }) {
				continue
			}
			d := queue.NewDelivery{Destination: name}
			for _, f := range h.Forwards {
				if f.destination.name == name {
					d = f.delivery(&e.Event)
				}
			}
			e.Deliveries = append(e.Deliveries, d)
		}
	}
}

// flush commits what was read.
func (im *importer) flush(ctx context.Context) error {
	if len(im.batch) == 0 {
		return nil
	}
	receipts, err := im.g.rt.store.Enqueue(ctx, im.batch)
	if err != nil {
		return fmt.Errorf("storing: %w", err)
	}
	for _, r := range receipts {
		if r.Duplicate {
			im.view.Duplicates++
		} else {
			im.view.Stored++
		}
	}
	im.batch, im.size = nil, 0
	return nil
}

// parseDeliver reads how deliveries of imported events are treated.
func parseDeliver(text string) (string, error) {
	switch text {
	case "":
		return deliverUndelivered, nil
	case deliverUndelivered, deliverAll, deliverNone:
		return text, nil
	}
	return "", fmt.Errorf("%w: deliver %q: want %s, %s or %s", errBadQuery, text, deliverUndelivered, deliverAll, deliverNone)
}

// linesType is the media type of exports: newline-delimited JSON.
const linesType = "application/x-ndjson"
