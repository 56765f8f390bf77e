package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// checkURL refuses what is no address of a token endpoint.
func (o *OAuth2) checkURL() error {
	u, err := url.Parse(o.TokenURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Fragment != "" || u.User != nil || strings.Contains(o.TokenURL, "{") {
		shown := o.TokenURL
		if strings.Contains(shown, "@") {
			shown = redactUserinfo(shown)
		}
		return fmt.Errorf("oauth2: token_url %q: want a URL such as https://login.internal/token, without placeholders, user or fragment", shown)
	}
	return nil
}

// tokenSource fetches tokens one at a time and keeps the last one until it expires or is refused.
type tokenSource struct {
	config  *OAuth2
	secrets *secretSet

	fetching sync.Mutex
	token    atomic.Pointer[oauth2.Token]
}

func (s *tokenSource) authorize(ctx context.Context, now time.Time, h http.Header) error {
	token := s.token.Load()
	if !token.Valid() {
		var err error
		if token, err = s.renew(ctx, now); err != nil {
			return fmt.Errorf("oauth2: token endpoint %w", err)
		}
	}
	h.Set("Authorization", authorization(token))
	return nil
}

// refused drops the token of a request that the application answered 401, for to us a revoked one looks valid. All who were refused with it share the next one.
func (s *tokenSource) refused(header string) {
	if token := s.token.Load(); token != nil && authorization(token) == header {
		s.token.CompareAndSwap(token, nil)
	}
}

func authorization(token *oauth2.Token) string { return token.Type() + " " + token.AccessToken }

// renew fetches a token, unless somebody else just has.
func (s *tokenSource) renew(ctx context.Context, now time.Time) (*oauth2.Token, error) {
	s.fetching.Lock()
	defer s.fetching.Unlock()
	if token := s.token.Load(); token.Valid() {
		return token, nil
	}
	pair := s.secrets.get(now)
	cc := clientcredentials.Config{
		ClientID: string(pair[0].Bytes()), ClientSecret: string(pair[1].Bytes()), TokenURL: s.config.TokenURL, Scopes: s.config.Scopes,
	}
	token, err := cc.Token(ctx)
	var failed *oauth2.RetrieveError
	switch {
	case errors.As(err, &failed): // its text may quote the answer
		return nil, fmt.Errorf("answered %d", failed.Response.StatusCode)
	case err != nil:
		return nil, errors.New("cannot be reached")
	case !httpguts.ValidHeaderFieldValue(authorization(token)):
		return nil, errors.New("gave a token that no header can hold")
	}
	s.token.Store(token)
	return token, nil
}
