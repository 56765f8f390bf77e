package demo

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
)

// What follows is what an application has to do, written as its developer would: from the specifications and with nothing of the gateway's.

var errSignature = errors.New("signature does not match")

const signatureAge = 5 * time.Minute

// readStandard verifies by Standard Webhooks (https://www.standardwebhooks.com) and reads a CloudEvent.
func readStandard(secret string) reader {
	return func(h http.Header, body []byte, now time.Time) (delivered, error) {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil {
			return delivered{}, fmt.Errorf("secret: %w", err)
		}
		id, at := h.Get("Webhook-Id"), h.Get("Webhook-Timestamp")
		if err := fresh(at, now); err != nil {
			return delivered{}, err
		}
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%s.%s", id, at, body)
		want := []byte("v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		good := false
		for _, signature := range strings.Fields(h.Get("Webhook-Signature")) {
			good = good || hmac.Equal([]byte(signature), want)
		}
		if !good {
			return delivered{}, errSignature
		}
		var event struct {
			SpecVersion string `json:"specversion"`
			ID          string `json:"id"`
			Source      string `json:"source"`
			Type        string `json:"type"`
			Data        struct {
				Data struct {
					Result string `json:"result"`
				} `json:"data"`
			} `json:"data"`
		}
		if err := json.Unmarshal(body, &event); err != nil {
			return delivered{}, fmt.Errorf("not a CloudEvent: %w", err)
		}
		if event.SpecVersion != "1.0" || event.ID == "" || event.Type == "" {
			return delivered{}, errors.New("not a CloudEvent: an attribute is missing")
		}
		return delivered{source: path.Base(event.Source), eventID: event.ID, enriched: event.Data.Data.Result != ""}, nil
	}
}

// readHeyVisa verifies as HeyVisa's own library would.
func readHeyVisa(secret string) reader {
	return func(h http.Header, body []byte, now time.Time) (delivered, error) {
		var at, signature string
		for part := range strings.SplitSeq(h.Get("HeyVisa-Signature"), ",") {
			switch name, value, _ := strings.Cut(part, "="); name {
			case "t":
				at = value
			case "v1":
				signature = value
			}
		}
		if err := fresh(at, now); err != nil {
			return delivered{}, err
		}
		mac := hmac.New(sha256.New, []byte(secret))
		fmt.Fprintf(mac, "%s.%s", at, body)
		if got, err := hex.DecodeString(signature); err != nil || !hmac.Equal(got, mac.Sum(nil)) {
			return delivered{}, errSignature
		}
		var event struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal(body, &event); err != nil {
			return delivered{}, fmt.Errorf("not an event of HeyVisa: %w", err)
		}
		return delivered{source: "heyvisa", eventID: event.ID}, nil
	}
}

func fresh(timestamp string, now time.Time) error {
	at, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return errors.New("timestamp is missing")
	}
	if age := now.Sub(time.Unix(at, 0)); math.Abs(age.Seconds()) > signatureAge.Seconds() {
		return errors.New("timestamp is too old")
	}
	return nil
}
