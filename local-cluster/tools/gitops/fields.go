package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	helm "github.com/fluxcd/helm-controller/api/v2"
	kustomize "github.com/fluxcd/kustomize-controller/api/v1"
	notification "github.com/fluxcd/notification-controller/api/v1beta3"
	source "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// checkFields says which field of an object of Flux its Go type does not know, or that there is no such type.
func checkFields(object *unstructured.Unstructured, text []byte) error {
	types := map[string]any{
		helm.GroupVersion.String() + "/HelmRelease":        &helm.HelmRelease{},
		kustomize.GroupVersion.String() + "/Kustomization": &kustomize.Kustomization{},
		notification.GroupVersion.String() + "/Alert":      &notification.Alert{},
		notification.GroupVersion.String() + "/Provider":   &notification.Provider{},
		source.GroupVersion.String() + "/GitRepository":    &source.GitRepository{},
	}
	name := object.GetAPIVersion() + "/" + object.GetKind()
	known, ok := types[name]
	if !ok {
		return fmt.Errorf("no type of Flux is %s", name)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(known); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
