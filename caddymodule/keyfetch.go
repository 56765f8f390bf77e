package caddymodule

import (
	"context"
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
	keyFetchTime   = 4 * time.Second
	keyFresh       = time.Hour       // after that a use fetches anew in the background
	keyUsable      = 24 * time.Hour  // for so long an old one serves while the key server is out
	keyRetry       = 5 * time.Second // between two tries to fetch what failed
)

// keyFetcher serves all sources, so that two of one provider share what they fetched.
var keyFetcher = newCachedFetcher(http.DefaultTransport.(*http.Transport).Clone())

// cachedFetcher fetches documents over https from allowed hosts, each at most once at a time. It implements [verifiers.KeyFetcher].
type cachedFetcher struct {
	client *http.Client
	mu     sync.Mutex
	cache  *lru.Cache[string, *keyDocument]
}

// keyDocument is one document; its lock is held while it is fetched, so that concurrent requests wait for one fetch.
type keyDocument struct {
	mu         sync.Mutex
	body       []byte
	fetched    time.Time
	failed     time.Time
	refreshing bool
}

func newCachedFetcher(transport http.RoundTripper) *cachedFetcher {
	cache, err := lru.New[string, *keyDocument](maxKeyCache)
	if err != nil { // only a size that is not positive fails
		panic(err)
	}
	return &cachedFetcher{client: &http.Client{Transport: transport}, cache: cache}
}

// Fetch implements [verifiers.KeyFetcher].
func (f *cachedFetcher) Fetch(ctx context.Context, rawURL string, allowed func(host string) bool) ([]byte, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "https" || u.User != nil || !allowed(u.Hostname()) {
		return nil, fmt.Errorf("%w: keys are not published at that address", verifiers.ErrMismatch)
	}
	f.mu.Lock()
	doc, ok := f.cache.Get(rawURL)
	if !ok {
		doc = new(keyDocument)
		f.cache.Add(rawURL, doc)
	}
	f.mu.Unlock()
	return doc.get(ctx, func(ctx context.Context) ([]byte, error) { return f.download(ctx, u, allowed) })
}

// get returns the document, fetching it if it is not there, and renews an old one without making anybody wait.
func (d *keyDocument) get(ctx context.Context, download func(context.Context) ([]byte, error)) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	age := now().Sub(d.fetched)
	switch {
	case d.body != nil && age < keyFresh:
		return d.body, nil
	case d.body != nil && age < keyUsable:
		if !d.refreshing && now().Sub(d.failed) > keyRetry {
			d.refreshing = true
			go d.refresh(download) // ends within keyFetchTime
		}
		return d.body, nil
	case now().Sub(d.failed) < keyRetry:
		return nil, fmt.Errorf("%w: the key server failed a moment ago", verifiers.ErrKeysUnavailable)
	}
	body, err := download(ctx)
	if err != nil {
		d.failed = now()
		return nil, err
	}
	d.body, d.fetched = body, now()
	return body, nil
}

func (d *keyDocument) refresh(download func(context.Context) ([]byte, error)) {
	body, err := download(context.Background())
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refreshing = false
	if err != nil { // the old one serves on
		d.failed = now()
		return
	}
	d.body, d.fetched = body, now()
}

func (f *cachedFetcher) download(ctx context.Context, u *url.URL, allowed func(string) bool) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, keyFetchTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("%w: building the request", verifiers.ErrKeysUnavailable)
	}
	req.Header.Set("User-Agent", userAgent)
	client := *f.client
	client.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		if len(via) > 3 || next.URL.Scheme != "https" || !allowed(next.URL.Hostname()) {
			return errors.New("redirect off the allowed hosts")
		}
		return nil
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %s does not answer", verifiers.ErrKeysUnavailable, u.Hostname())
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxKeyDocument+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: answer of %s broke off", verifiers.ErrKeysUnavailable, u.Hostname())
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%w: %s answered %d", verifiers.ErrKeysUnavailable, u.Hostname(), resp.StatusCode)
	case len(body) > maxKeyDocument:
		return nil, fmt.Errorf("%w: answer of %s is larger than %d bytes", verifiers.ErrKeysUnavailable, u.Hostname(), maxKeyDocument)
	}
	return body, nil
}

var _ verifiers.KeyFetcher = (*cachedFetcher)(nil)
