package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// Auth is the credentials that an application asks for; one of them is set.
type Auth struct {
	// A bearer token.
	Bearer string `json:"bearer,omitempty"`
	// User and password of HTTP Basic.
	Basic *BasicAuth `json:"basic,omitempty"`
	// OAuth 2.0 client credentials; the token is fetched and renewed as needed.
	OAuth2 *OAuth2 `json:"oauth2,omitempty"`

	secrets *secretSet
}

// BasicAuth is a user and a password.
type BasicAuth struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

// OAuth2 is the client credentials grant (RFC 6749, section 4.4).
type OAuth2 struct {
	TokenURL     string   `json:"token_url"`
	ClientID     string   `json:"client_id"`
	ClientSecret string   `json:"client_secret"`
	Scopes       []string `json:"scopes,omitempty"`
}

// authorizer puts credentials on a request. A nil function puts none.
type authorizer func(ctx context.Context, now time.Time, h http.Header) error

func (a authorizer) authorize(ctx context.Context, now time.Time, h http.Header) error {
	if a == nil {
		return nil
	}
	return a(ctx, now, h)
}

func (config *Auth) provision(logger *zap.Logger) (authorizer, error) {
	if config == nil {
		return nil, nil
	}
	switch {
	case config.Bearer != "" && config.Basic == nil && config.OAuth2 == nil:
		return config.provisionBearer(logger)
	case config.Basic != nil && config.Bearer == "" && config.OAuth2 == nil:
		return config.provisionBasic(logger)
	case config.OAuth2 != nil && config.Bearer == "" && config.Basic == nil:
		source, err := config.OAuth2.provision(logger)
		if err != nil {
			return nil, err
		}
		config.secrets = source.secrets
		return source.authorize, config.secrets.require(fitsHeader)
	}
	return nil, errors.New("want exactly one of bearer, basic and oauth2")
}

func (config *Auth) provisionBearer(logger *zap.Logger) (_ authorizer, err error) {
	if config.secrets, err = newSecretSet([]string{config.Bearer}, logger); err != nil {
		return nil, err
	}
	return func(_ context.Context, now time.Time, h http.Header) error {
		h.Set("Authorization", "Bearer "+string(config.secrets.get(now)[0].Bytes()))
		return nil
	}, config.secrets.require(fitsHeader)
}

func (config *Auth) provisionBasic(logger *zap.Logger) (_ authorizer, err error) {
	if config.secrets, err = newSecretSet([]string{config.Basic.User, config.Basic.Password}, logger); err != nil {
		return nil, err
	}
	return func(_ context.Context, now time.Time, h http.Header) error {
		pair := config.secrets.get(now)
		r := http.Request{Header: h}
		r.SetBasicAuth(string(pair[0].Bytes()), string(pair[1].Bytes()))
		return nil
	}, config.secrets.require(fitsUser, fitsHeader)
}

func (config *OAuth2) provision(logger *zap.Logger) (*tokenSource, error) {
	secrets, err := newSecretSet([]string{config.ClientID, config.ClientSecret}, logger)
	if err != nil {
		return nil, err
	}
	if config.TokenURL == "" {
		return nil, errors.New("oauth2: has no token_url")
	}
	return &tokenSource{config: config, secrets: secrets}, nil
}

// tokenSource fetches tokens one at a time and keeps the last one while it is valid.
type tokenSource struct {
	config  *OAuth2
	secrets *secretSet

	mu    sync.Mutex
	token *oauth2.Token
}

func (s *tokenSource) authorize(ctx context.Context, now time.Time, h http.Header) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.token.Valid() {
		pair := s.secrets.get(now)
		cc := clientcredentials.Config{
			ClientID: string(pair[0].Bytes()), ClientSecret: string(pair[1].Bytes()), TokenURL: s.config.TokenURL, Scopes: s.config.Scopes,
		}
		token, err := cc.Token(ctx)
		if err != nil {
			var failed *oauth2.RetrieveError
			if errors.As(err, &failed) { // its text may quote the answer
				return fmt.Errorf("oauth2: token endpoint answered %d", failed.Response.StatusCode)
			}
			return errors.New("oauth2: token endpoint cannot be reached")
		}
		s.token = token
	}
	h.Set("Authorization", s.token.Type()+" "+s.token.AccessToken)
	return nil
}
