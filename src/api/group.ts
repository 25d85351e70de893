/** API group of every kind of Backstay. */
export const API_GROUP = 'backstay.dev';

/** The version that is served and stored. */
export const VERSION = 'v1alpha1';

/** `apiVersion` of every object of Backstay. */
export const API_VERSION: `${typeof API_GROUP}/${typeof VERSION}` = `${API_GROUP}/${VERSION}`;
