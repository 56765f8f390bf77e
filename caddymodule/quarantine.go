package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/verifiers"
)

// Bounds of the quarantine. What goes beyond them is counted in the metrics and logged, but not kept.
const (
	quarantineCount   = 1000
	quarantineBytes   = 32 << 20
	quarantineBody    = 1 << 20  // of one request; a larger body is not kept, so that request cannot be released
	quarantinePerSec  = 5        // of one source, after as many at once as there is room for
	quarantineWaiting = 8 << 20  // bytes of one source's requests in memory
	quarantineChunk   = 60 << 10 // of a body in one entry of the store's metadata
	quarantineAddress = 1000     // bytes of an address whose rest is cut
	quarantineSweep   = 10 * time.Minute
	quarantineOrphans = 50 // requests whose left-over bodies one sweep removes

	metaQuarantine     = "quarantine/request/"
	metaQuarantineBody = "quarantine/body/"
)

// errNotInQuarantine means that there is no such refused request, or that it is gone.
var errNotInQuarantine = fmt.Errorf("request in quarantine: %w", queue.ErrNotFound)

// refusedRequest is a request that failed verification, as the quarantine keeps it.
type refusedRequest struct {
	ID       string      `json:"id"`
	Source   string      `json:"source"`
	Provider string      `json:"provider"`
	At       time.Time   `json:"at"`
	Method   string      `json:"method"`
	URL      string      `json:"url"`
	Header   http.Header `json:"header"`
	ClientIP string      `json:"client_ip"`
	Reason   string      `json:"reason"`
	Error    string      `json:"error"`
	Size     int         `json:"size"` // of the body in bytes
	NoBody   bool        `json:"no_body,omitempty"`
	NoHeader bool        `json:"no_header,omitempty"` // its address and headers were too large: they are cut, and it has no body either

	// Token is of a source whose address has one: the address is kept without it.
	Token *tokenEvidence `json:"token,omitempty"`

	// Findings are what the diagnosis found, what was proved first.
	Findings []verifiers.Finding `json:"findings,omitempty"`

	body []byte
	app  *App
}

// quarantine keeps refused requests beside the queue: bounded in count, bytes and age, limited in rate, and written by a goroutine of its own, so that it
// never holds up an answer.
type quarantine struct {
	meta     queue.Metadata
	logger   *zap.Logger
	rejected func() time.Duration // for how long requests are kept; 0: as long as the other bounds allow

	gate    sync.Mutex // held for a moment only: every refusal passes here
	closed  bool
	intake  map[string]*quarantineIntake // by source, so that a flood at one does not hide what is refused at another; sources are configured, so there are few
	waiting chan *refusedRequest
	wg      sync.WaitGroup

	storing sync.Mutex // held while a request is put into the store and not yet in the index, taken before mu

	mu       sync.Mutex
	index    []quarantineEntry // oldest first
	bytes    int
	claimed  map[string]bool // requests that are being released
	loaded   bool
	searched bool  // no body in the store is without its request
	last     int64 // of the ids, so that they increase
}

type quarantineEntry struct {
	id     string
	source string
	at     time.Time
	size   int
}

// quarantineIntake is what a source hands over.
type quarantineIntake struct {
	limiter *rate.Limiter
	waiting int // bytes
	lost    int // requests that were not kept, because there were too many
}

func newQuarantine(meta queue.Metadata, rejected func() time.Duration, logger *zap.Logger) *quarantine {
	q := &quarantine{
		meta: meta, logger: logger, rejected: rejected, intake: make(map[string]*quarantineIntake), waiting: make(chan *refusedRequest, 2*quarantineCount),
		claimed: make(map[string]bool),
	}
	q.wg.Go(q.run)
	return q
}

func (q *quarantine) close() {
	q.gate.Lock()
	q.closed = true
	q.gate.Unlock()
	close(q.waiting)
	q.wg.Wait()
}

// add hands a refused request over, or drops it if there are too many of them.
func (q *quarantine) add(r *refusedRequest) {
	q.gate.Lock()
	defer q.gate.Unlock()
	if q.closed {
		return
	}
	in := q.intake[r.Source]
	if in == nil {
		in = &quarantineIntake{limiter: rate.NewLimiter(quarantinePerSec, quarantineCount)}
		q.intake[r.Source] = in
	}
	if size := r.memory(); in.waiting+size <= quarantineWaiting && in.limiter.AllowN(r.At, 1) {
		select {
		case q.waiting <- r:
			in.waiting += size
			return
		default:
		}
	}
	in.lost++
}

// memory is about what a request that waits takes.
func (r *refusedRequest) memory() int {
	n := len(r.body) + len(r.URL)
	for name, values := range r.Header {
		n += len(name)
		for _, value := range values {
			n += len(value)
		}
	}
	return n
}

// taken notes that a request with this memory does not wait any more.
func (q *quarantine) taken(source string, size int) {
	q.gate.Lock()
	defer q.gate.Unlock()
	q.intake[source].waiting -= size
}

// lost is how many refused requests of a source, or of all, were not kept since Caddy started because too many came at once.
func (q *quarantine) lost(source string) (n int) {
	q.gate.Lock()
	defer q.gate.Unlock()
	for name, in := range q.intake {
		if source == "" || source == name {
			n += in.lost
		}
	}
	return n
}

// quarantineRequest keeps a request whose refusal somebody may want to understand.
func (h *Handler) quarantineRequest(req *verifiers.Request, f *failure) {
	if req == nil || f.status == http.StatusMethodNotAllowed {
		return
	}
	rt := h.app.ready.Load()
	if rt == nil {
		return // a gateway whose store is not open has no quarantine; the log has the refusal
	}
	r := &refusedRequest{
		Source: h.Name, Provider: h.provider.Spec().ID, At: req.At, Method: req.Method, URL: req.URL.String(), Header: withoutHopByHop(req.Header),
		ClientIP: req.ClientIP, Reason: f.reason, Error: f.err.Error(), Size: len(req.Body), body: req.Body, app: h.app,
	}
	if len(req.Body) > quarantineBody {
		r.NoBody, r.body = true, nil
	}
	if h.token != nil {
		r.URL, r.Token = h.token.hide(req.URL).String(), h.token.evidence(req)
	}
	rt.quarantine.add(r)
}

func (q *quarantine) run() {
	ticker := time.NewTicker(quarantineSweep)
	defer ticker.Stop()
	q.sweep()
	for {
		select {
		case r, open := <-q.waiting:
			if !open {
				return
			}
			size := r.memory()
			err := q.store(context.Background(), r)
			q.taken(r.Source, size)
			if err != nil {
				q.logger.Warn("refused request was not kept", zap.String("source", r.Source), zap.Error(err))
			}
		case <-ticker.C:
			q.sweep()
		}
	}
}

func (q *quarantine) sweep() {
	ctx := context.Background()
	if err := errors.Join(q.prune(ctx), q.removeOrphans(ctx)); err != nil {
		q.logger.Warn("old refused requests were not removed", zap.Error(err))
	}
}
