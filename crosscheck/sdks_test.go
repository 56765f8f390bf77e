package crosscheck

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"code.gitea.io/sdk/gitea"
	"github.com/PaddleHQ/paddle-go-sdk/v4"
	"github.com/PagerDuty/go-pagerduty/webhookv3"
	"github.com/bwmarrin/discordgo"
	"github.com/google/go-github/v74/github"
	line "github.com/line/line-bot-sdk-go/v8/linebot/webhook"
	"github.com/openai/openai-go/v3/option"
	openai "github.com/openai/openai-go/v3/webhooks"
	razorpay "github.com/razorpay/razorpay-go/utils"
	"github.com/resend/resend-go/v2"
	"github.com/sendgrid/sendgrid-go/helpers/eventwebhook"
	"github.com/slack-go/slack"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	stripe "github.com/stripe/stripe-go/v82/webhook"
	svix "github.com/svix/svix-webhooks/go"
	twilio "github.com/twilio/twilio-go/client"

	"github.com/sluice-webhooks/sluice/crosscheck/rig"
)

// accepts verifies a request as an application does that uses the SDK. The body has been read; r's can be read as well.
type accepts func(r *http.Request, body []byte, secret string) error

// signs returns the headers with which the SDK signs a body.
type signs func(body []byte, secret string) (http.Header, error)

// sdk is one SDK and a provider of the catalogue that it is for.
type sdk struct {
	provider, module string
	accepts          accepts
	signs            signs
	dated            bool // the SDK refuses what was signed long ago
}

var errRefused = errors.New("refused")

func held(ok bool) error {
	if !ok {
		return errRefused
	}
	return nil
}

// sdks are those of this file. Where several providers share one SDK, each is a line.
var sdks = []sdk{
	{provider: "stripe", dated: true, module: "github.com/stripe/stripe-go/v82", accepts: stripeAccepts, signs: stripeSigns},
	{provider: "stripe_identity", dated: true, module: "github.com/stripe/stripe-go/v82", accepts: stripeAccepts, signs: stripeSigns},
	{provider: "github", module: "github.com/google/go-github/v74", accepts: func(r *http.Request, _ []byte, secret string) error {
		_, err := github.ValidatePayload(r, []byte(secret))
		return err
	}},
	{provider: "svix", dated: true, module: "github.com/svix/svix-webhooks", accepts: svixAccepts, signs: svixSigns("svix-id", "svix-timestamp", "svix-signature")},
	{provider: "clerk", dated: true, module: "github.com/svix/svix-webhooks", accepts: svixAccepts, signs: svixSigns("svix-id", "svix-timestamp", "svix-signature")},
	{provider: "standard", dated: true, module: "github.com/standard-webhooks/standard-webhooks/libraries", accepts: standardAccepts, signs: standardSigns},
	{provider: "standard_webhooks", dated: true, module: "github.com/standard-webhooks/standard-webhooks/libraries", accepts: standardAccepts, signs: standardSigns},
	{provider: "supabase_auth_hooks", dated: true, module: "github.com/standard-webhooks/standard-webhooks/libraries", accepts: supabaseAccepts},
	{provider: "slack", dated: true, module: "github.com/slack-go/slack", accepts: slackAccepts},
	{provider: "slack_events", dated: true, module: "github.com/slack-go/slack", accepts: slackAccepts},
	{provider: "paddle", dated: true, module: "github.com/PaddleHQ/paddle-go-sdk/v4", accepts: func(r *http.Request, _ []byte, secret string) error {
		ok, err := paddle.NewWebhookVerifier(secret, paddle.VerifierWithTimestampTolerance(5*time.Minute)).Verify(r)
		return errors.Join(err, held(ok))
	}},
	{provider: "twilio", module: "github.com/twilio/twilio-go", accepts: func(r *http.Request, body []byte, secret string) error {
		v := twilio.NewRequestValidator(secret)
		return held(v.ValidateBody(r.URL.String(), body, r.Header.Get("X-Twilio-Signature")))
	}},
	{provider: "line", module: "github.com/line/line-bot-sdk-go/v8", accepts: func(r *http.Request, _ []byte, secret string) error {
		_, err := line.ParseRequest(secret, r)
		return err
	}},
	{provider: "sendgrid", module: "github.com/sendgrid/sendgrid-go", accepts: sendgridAccepts},
	{provider: "openai", dated: true, module: "github.com/openai/openai-go/v3", accepts: func(r *http.Request, body []byte, secret string) error {
		service := openai.NewWebhookService(option.WithWebhookSecret(secret))
		_, err := service.Unwrap(body, r.Header)
		return err
	}},
	{provider: "discord_interactions", module: "github.com/bwmarrin/discordgo", accepts: discordAccepts},
	{provider: "discord_webhook_events", module: "github.com/bwmarrin/discordgo", accepts: discordAccepts},
	{provider: "razorpay", module: "github.com/razorpay/razorpay-go", accepts: func(r *http.Request, body []byte, secret string) error {
		return held(razorpay.VerifyWebhookSignature(string(body), r.Header.Get("X-Razorpay-Signature"), secret))
	}},
	{provider: "resend", dated: true, module: "github.com/resend/resend-go/v2", accepts: func(r *http.Request, body []byte, secret string) error {
		return resend.NewClient("").Webhooks.Verify(&resend.VerifyWebhookOptions{Payload: string(body), WebhookSecret: secret, Headers: resend.WebhookHeaders{
			Id: r.Header.Get("svix-id"), Timestamp: r.Header.Get("svix-timestamp"), Signature: r.Header.Get("svix-signature"),
		}})
	}},
	{provider: "pagerduty", module: "github.com/PagerDuty/go-pagerduty", accepts: func(r *http.Request, _ []byte, secret string) error {
		return webhookv3.VerifySignature(r, secret)
	}},
	{provider: "gitea", module: "code.gitea.io/sdk/gitea", accepts: func(r *http.Request, body []byte, secret string) error {
		ok, err := gitea.VerifyWebhookSignature(secret, r.Header.Get("X-Gitea-Signature"), body)
		return errors.Join(err, held(ok))
	}},
}

func stripeAccepts(r *http.Request, body []byte, secret string) error {
	_, err := stripe.ConstructEventWithOptions(body, r.Header.Get("Stripe-Signature"), secret, stripe.ConstructEventOptions{IgnoreAPIVersionMismatch: true})
	return err
}

func stripeSigns(body []byte, secret string) (http.Header, error) {
	signed := stripe.GenerateTestSignedPayload(&stripe.UnsignedPayload{Payload: body, Secret: secret})
	return http.Header{"Stripe-Signature": {signed.Header}}, nil
}

func svixAccepts(r *http.Request, body []byte, secret string) error {
	w, err := svix.NewWebhook(secret)
	if err != nil {
		return err
	}
	return w.Verify(body, r.Header)
}

func svixSigns(id, timestamp, signature string) signs {
	return func(body []byte, secret string) (http.Header, error) {
		w, err := svix.NewWebhook(secret)
		if err != nil {
			return nil, err
		}
		return messageHeaders(w.Sign, body, id, timestamp, signature)
	}
}

func standardAccepts(r *http.Request, body []byte, secret string) error {
	w, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return err
	}
	return w.Verify(body, r.Header)
}

func standardSigns(body []byte, secret string) (http.Header, error) {
	w, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return nil, err
	}
	return messageHeaders(w.Sign, body, "webhook-id", "webhook-timestamp", "webhook-signature")
}

// supabaseAccepts does what Supabase's documentation tells an application to do with its secret.
func supabaseAccepts(r *http.Request, body []byte, secret string) error {
	return standardAccepts(r, body, strings.TrimPrefix(secret, "v1,"))
}

func messageHeaders(sign func(string, time.Time, []byte) (string, error), body []byte, id, timestamp, signature string) (http.Header, error) {
	const message = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"
	at := time.Now()
	text, err := sign(message, at, body)
	if err != nil {
		return nil, err
	}
	h := make(http.Header)
	h.Set(id, message)
	h.Set(timestamp, fmt.Sprint(at.Unix()))
	h.Set(signature, text)
	return h, nil
}

func slackAccepts(r *http.Request, body []byte, secret string) error {
	v, err := slack.NewSecretsVerifier(r.Header, secret)
	if err != nil {
		return err
	}
	if _, err := v.Write(body); err != nil {
		return err
	}
	return v.Ensure()
}

func sendgridAccepts(r *http.Request, body []byte, secret string) error {
	key, err := rig.PublicKey(secret)
	if err != nil {
		return err
	}
	public, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return fmt.Errorf("key is a %T", key)
	}
	ok, err = eventwebhook.VerifySignature(public, body, r.Header.Get(eventwebhook.VerificationHTTPHeader), r.Header.Get(eventwebhook.TimestampHTTPHeader))
	return errors.Join(err, held(ok))
}

func discordAccepts(r *http.Request, body []byte, secret string) error {
	key, err := rig.PublicKey(secret)
	if err != nil {
		return err
	}
	public, ok := key.(ed25519.PublicKey)
	if !ok {
		return fmt.Errorf("key is a %T", key)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return held(discordgo.VerifyInteraction(r, public))
}
