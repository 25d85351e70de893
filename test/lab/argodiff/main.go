// Command argodiff says of pairs of objects whether Argo CD would call the first, which is in git, OutOfSync with the second, which is live.
//
// It reads a file with one pair a line, {"desired": …, "live": …}, and writes a line for each: "in sync", or the difference as JSON. It asks Argo CD's own
// diff engine as Argo CD does by default: with what kubectl's annotation says was applied last, where the live object has one.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/diff"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

type pair struct {
	Desired map[string]any `json:"desired"`
	Live    map[string]any `json:"live"`
}

type difference struct {
	Live      json.RawMessage `json:"live"`
	Predicted json.RawMessage `json:"predicted"`
}

func verdict(one pair) (string, error) {
	result, err := diff.Diff(
		&unstructured.Unstructured{Object: one.Desired},
		&unstructured.Unstructured{Object: one.Live},
	)
	if err != nil {
		return "", err
	}
	if !result.Modified {
		return "in sync", nil
	}
	text, err := json.Marshal(difference{Live: result.NormalizedLive, Predicted: result.PredictedLive})
	return string(text), err
}

func run(in io.Reader, out io.Writer) error {
	for decoder := json.NewDecoder(in); ; {
		var one pair
		if err := decoder.Decode(&one); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("a pair that is no JSON: %w", err)
		}
		text, err := verdict(one)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, text)
	}
}

func runFile(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return run(file, os.Stdout)
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: argodiff FILE")
		os.Exit(2)
	}
	if err := runFile(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "argodiff:", err)
		os.Exit(1)
	}
}
