package config

import "testing"

func TestReferenceIsGenerated(t *testing.T) { golden(t, "../../docs/configuration.md", Reference()) }
