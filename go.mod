module github.com/sluice-webhooks/sluice

go 1.26.0
