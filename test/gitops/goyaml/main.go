// Tells what sigs.k8s.io/yaml, the reader of kubectl, Flux and Argo CD, makes of YAML texts: it reads a JSON list of texts and prints a JSON list of
// {yaml, json} or {yaml, error}. The answers are kept in ../yaml-cases.json:
//
//	jq '[.[].yaml]' ../yaml-cases.json | go run . > new.json && mv new.json ../yaml-cases.json
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"sigs.k8s.io/yaml"
)

type answer struct {
	YAML  string          `json:"yaml"`
	JSON  json.RawMessage `json:"json,omitempty"`
	Error string          `json:"error,omitempty"`
}

func main() {
	var texts []string
	if err := json.NewDecoder(os.Stdin).Decode(&texts); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("[")
	for i, text := range texts {
		one := answer{YAML: text}
		if out, err := yaml.YAMLToJSONStrict([]byte(text)); err != nil {
			one.Error = err.Error()
		} else {
			one.JSON = out
		}
		line, err := json.Marshal(one)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		separator := ","
		if i == len(texts)-1 {
			separator = ""
		}
		fmt.Printf("  %s%s\n", line, separator)
	}
	fmt.Println("]")
}
