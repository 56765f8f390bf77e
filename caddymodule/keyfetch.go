package caddymodule

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// Bounds of fetched keys and certificates.
const (
	maxKeyDocument = 256 << 10
	maxKeyCache    = 256
	maxHostCache   = 32 // of one host
	maxKeyFetches  = 16 // at a time
	maxHostFetches = 4  // of one host
	keyFetchTime   = 4 * time.Second
	keyFresh       = time.Hour        // after that a use fetches anew in the background
	keyUsable      = 24 * time.Hour   // for so long an old one serves while the key server is out
	keyRetry       = 5 * time.Second  // between two tries to fetch what failed
	keyRefresh     = 30 * time.Second // between two fetches because a key was not among those that are kept
)

// keyFetcher serves all sources, so that two of one provider share what they fetched.
var keyFetcher = newCachedFetcher(http.DefaultTransport.(*http.Transport).Clone())

// cachedFetcher fetches documents over https from allowed hosts, each at most once at a time. It implements [verifiers.KeyRefresher].
//
// A fetch outlives the request that asked for it, which must not fail for others because that one sender went away. The configurations that use the fetcher
// own its goroutines: the last of them to let go ends and joins them.
type cachedFetcher struct {
	client *http.Client
	slots  *keySlots // bounds the fetches at a time
	visits *keySlots // the same for visits, which anybody may bring about

	mu    sync.Mutex
	kept  *lru.Cache[string, *keyDocument] // that were fetched
	tried *lru.Cache[string, *keyDocument] // that were not yet: addresses that a sender makes up push no key out, nor do documents of one host those of another

	owners  sync.Mutex
	users   int
	flights *keyFlights // nil: none since the last user let go
}

// keyFlights are the fetches under way. No lock of a document is taken while owners is held.
type keyFlights struct {
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// keyDocument is one document.
type keyDocument struct {
	host string

	mu      sync.Mutex
	body    []byte
	fetched time.Time
	failed  time.Time
	flight  *keyFlight // nil: nobody is fetching it
}

// keyFlight is a fetch under way. Its result is to be read when done is closed.
type keyFlight struct {
	done chan struct{}
	body []byte
	err  error
}

func newCachedFetcher(transport http.RoundTripper) *cachedFetcher {
	return &cachedFetcher{
		client: &http.Client{Transport: transport}, kept: newKeyCache[*keyDocument](), tried: newKeyCache[*keyDocument](),
		slots: newKeySlots(), visits: newKeySlots(),
	}
}

// use makes the caller one of the owners of what is under way.
func (f *cachedFetcher) use() {
	f.owners.Lock()
	defer f.owners.Unlock()
	f.users++
}

// release is the counterpart of use. The last one ends all fetches and waits for them.
func (f *cachedFetcher) release() {
	f.owners.Lock()
	f.users--
	last := f.flights
	if f.users > 0 {
		last = nil
	} else {
		f.flights = nil
	}
	f.owners.Unlock()
	if last != nil {
		last.cancel()
		last.wg.Wait()
	}
}

// begin counts a fetch that is about to start.
func (f *cachedFetcher) begin() *keyFlights {
	f.owners.Lock()
	defer f.owners.Unlock()
	if f.flights == nil {
		f.flights = new(keyFlights)
		f.flights.ctx, f.flights.cancel = context.WithCancel(context.Background())
	}
	f.flights.wg.Add(1)
	return f.flights
}

// Fetch implements [verifiers.KeyFetcher].
func (f *cachedFetcher) Fetch(ctx context.Context, rawURL string, allowed func(host string) bool) ([]byte, error) {
	return f.get(ctx, rawURL, allowed, keyFresh, time.Time{})
}

// Refresh implements [verifiers.KeyRefresher]: it fetches anew unless that happened a moment ago.
func (f *cachedFetcher) Refresh(ctx context.Context, rawURL string, since time.Time, allowed func(host string) bool) ([]byte, error) {
	return f.get(ctx, rawURL, allowed, keyRefresh, since)
}

// get returns a document that is at most as old as fresh says, fetching it if there is none, and renews one that grew old by itself without making anybody wait.
// While the key server is out, an old document serves those who ask for no newer one. One from before since serves nobody who may not fetch a newer one yet.
func (f *cachedFetcher) get(ctx context.Context, rawURL string, allowed func(host string) bool, fresh time.Duration, since time.Time) ([]byte, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "https" || u.User != nil || !allowed(u.Hostname()) {
		return nil, fmt.Errorf("%w: keys are not published at that address", verifiers.ErrMismatch)
	}
	d := f.document(rawURL, u.Hostname())
	d.mu.Lock()
	age, justFailed := now().Sub(d.fetched), now().Sub(d.failed) < keyRetry
	if d.body != nil && age < fresh {
		defer d.mu.Unlock()
		if d.fetched.Before(since) {
			return nil, fmt.Errorf("%w: the key is not among those fetched %s ago, and it is too early to fetch them anew", verifiers.ErrKeysUnavailable, age.Round(time.Second))
		}
		return d.body, nil
	}
	if d.flight == nil && !justFailed {
		f.launch(d, rawURL, u, allowed)
	}
	flight, body := d.flight, d.body
	d.mu.Unlock()
	switch {
	case body != nil && age < keyUsable && fresh == keyFresh:
		return body, nil
	case flight == nil:
		return nil, fmt.Errorf("%w: the key server failed a moment ago", verifiers.ErrKeysUnavailable)
	}
	select {
	case <-flight.done:
		return flight.body, flight.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %s has not answered yet", verifiers.ErrKeysUnavailable, u.Hostname())
	}
}

// document finds or makes the entry of an address.
func (f *cachedFetcher) document(rawURL, host string) *keyDocument {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d, ok := f.kept.Get(rawURL); ok {
		return d
	}
	d, ok := f.tried.Get(rawURL)
	if !ok {
		d = &keyDocument{host: host}
		addToShare(f.tried, rawURL, d)
	}
	return d
}

// keep moves a document that was fetched to those that are kept.
func (f *cachedFetcher) keep(rawURL string, d *keyDocument) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tried.Remove(rawURL)
	addToShare(f.kept, rawURL, d)
}

// launch begins to fetch a document, whose lock is held.
func (f *cachedFetcher) launch(d *keyDocument, rawURL string, u *url.URL, allowed func(string) bool) {
	flight := &keyFlight{done: make(chan struct{})}
	d.flight = flight
	under := f.begin()
	go func() { // joined by release
		defer under.wg.Done()
		defer close(flight.done)
		flight.body, flight.err = f.download(under.ctx, u, allowed)
		d.mu.Lock()
		d.flight = nil
		if flight.err != nil { // an old one serves on
			d.failed = now()
		} else {
			d.body, d.fetched = flight.body, now()
		}
		d.mu.Unlock()
		if flight.err == nil {
			f.keep(rawURL, d)
		}
	}()
}

// download fetches a document.
func (f *cachedFetcher) download(ctx context.Context, u *url.URL, allowed func(string) bool) ([]byte, error) {
	body, status, err := f.ask(ctx, f.slots, u, allowed)
	switch {
	case err != nil:
		return nil, err
	case status != http.StatusOK:
		return nil, fmt.Errorf("%w: %s answered %d", verifiers.ErrKeysUnavailable, u.Hostname(), status)
	case len(body) == 0:
		return nil, fmt.Errorf("%w: answer of %s is empty", verifiers.ErrKeysUnavailable, u.Hostname())
	}
	return body, nil
}

// Visit fetches an address that a handshake names, each time anew, and keeps nothing of it. Any 2xx is a success; all else is ErrKeysUnavailable, so that the
// provider asks again.
func (f *cachedFetcher) Visit(ctx context.Context, rawURL string, allowed func(host string) bool) error {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "https" || u.User != nil || !allowed(u.Hostname()) {
		return fmt.Errorf("%w: address is not the provider's", verifiers.ErrMismatch)
	}
	_, status, err := f.ask(ctx, f.visits, u, allowed)
	if err == nil && (status < 200 || status > 299) {
		err = fmt.Errorf("%w: %s answered %d", verifiers.ErrKeysUnavailable, u.Hostname(), status)
	}
	return err
}

// ask makes one GET when there is a slot, following redirects within the allowed hosts.
func (f *cachedFetcher) ask(ctx context.Context, slots *keySlots, u *url.URL, allowed func(string) bool) ([]byte, int, error) {
	ctx, cancel := context.WithTimeout(ctx, keyFetchTime)
	defer cancel()
	leave, err := slots.enter(ctx, u.Hostname())
	if err != nil {
		return nil, 0, fmt.Errorf("%w: too many key servers do not answer", verifiers.ErrKeysUnavailable)
	}
	defer leave()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: building the request", verifiers.ErrKeysUnavailable)
	}
	req.Header.Set("User-Agent", userAgent)
	client := *f.client
	client.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		if len(via) > 3 || next.URL.Scheme != "https" || next.URL.User != nil || !allowed(next.URL.Hostname()) {
			return errRedirect
		}
		return nil
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, 0, noAnswer(u.Hostname(), err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxKeyDocument+1))
	switch {
	case err != nil:
		return nil, 0, fmt.Errorf("%w: answer of %s broke off", verifiers.ErrKeysUnavailable, u.Hostname())
	case len(body) > maxKeyDocument:
		return nil, 0, fmt.Errorf("%w: answer of %s is larger than %d bytes", verifiers.ErrKeysUnavailable, u.Hostname(), maxKeyDocument)
	}
	return body, resp.StatusCode, nil
}

var errRedirect = errors.New("redirect off the allowed hosts")

// noAnswer says why a key server's answer was not had. An operator who runs it can mend the first two.
func noAnswer(host string, err error) error {
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &cert):
		return fmt.Errorf("%w: the system's roots do not trust the certificate of %s", verifiers.ErrKeysUnavailable, host)
	case errors.Is(err, errRedirect):
		return fmt.Errorf("%w: %s redirects to an address that keys may not come from", verifiers.ErrKeysUnavailable, host)
	}
	return fmt.Errorf("%w: %s does not answer", verifiers.ErrKeysUnavailable, host)
}

var _ verifiers.KeyRefresher = (*cachedFetcher)(nil)
